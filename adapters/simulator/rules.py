"""What the provider refuses beyond its schema: routing, conversation and parameter rules, with its own words.

What lives here: ``refusal``, the first reason against a readable body. Sources: contract sections 2.3, 2.8, 5.4 (k), 9,
12. Not here: the schema (``schema``), authorization and faults on order.
"""

from collections.abc import Callable, Iterator
from typing import Any

from openrouter_pipe.adapters.simulator.answers import LOOP_SEAL
from openrouter_pipe.adapters.simulator.catalogue import Catalogue, provider_tags
from openrouter_pipe.adapters.simulator.errors import (
    ErrorReply,
    invalid_prompt,
    plain_error,
    unsupported_effort,
    upstream_error,
)
from openrouter_pipe.adapters.simulator.turn import Turn

Json = dict[str, Any]
Rule = Callable[[Turn, Json], ErrorReply | None]

_ROUTING = "To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing"
# Parameters a model must list when the request says provider.require_parameters; names of either endpoint.
_REQUIRED_AS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "response_format": "response_format",
    "seed": "seed",
    "stop": "stop",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "reasoning": "reasoning",
}


def find_model(turn: Turn, catalogue: Catalogue) -> Json | ErrorReply:
    """The catalogue's model for the request, or the refusal of an unknown one. Every fallback must be known too."""
    fallbacks = turn.body.get("models")
    asked = [turn.model, *(fallbacks if isinstance(fallbacks, list) else [])]
    if not turn.model:
        return plain_error(400, "No models provided")
    for name in asked:
        if catalogue.resolve(str(name)) is None:
            return plain_error(400, f"{name} is not a valid model ID")
    found = catalogue.resolve(turn.model)
    if found is None:  # pragma: no cover - the loop has answered
        return plain_error(400, f"{turn.model} is not a valid model ID")
    return found


def refusal(turn: Turn, entry: Json) -> ErrorReply | None:
    """The first rule that the request breaks, as the provider would answer; None when it may pass."""
    for rule in _RULES:
        if reply := rule(turn, entry):
            return reply
    return None


def _input(turn: Turn, entry: Json) -> ErrorReply | None:
    name = "input" if turn.wire == "responses" else "messages"
    source = turn.body.get(name)
    if source is None or (isinstance(source, list) and not source):
        issue = {"code": "invalid_type", "path": [name], "message": f"{name} is required and must not be empty"}
        return _unfit(turn, issue)
    return None


def _stateless(turn: Turn, entry: Json) -> ErrorReply | None:
    if turn.body.get("previous_response_id") is not None:
        return plain_error(400, "previous_response_id is not supported: the API is stateless, send the whole input")
    if turn.body.get("store") is True:
        return _unfit(turn, {"code": "invalid_value", "path": ["store"], "message": "expected false"})
    return None


def _reasoning_items(turn: Turn, entry: Json) -> ErrorReply | None:
    source = turn.body.get("input")
    for place, item in enumerate(source if isinstance(source, list) else []):
        if isinstance(item, dict) and item.get("type") == "reasoning":
            for key, kind in (("id", str), ("summary", list)):
                if not isinstance(item.get(key), kind) or item[key] == "":
                    issue = {"code": "invalid_type", "path": ["input", place, key], "message": f"{key} is required"}
                    return _unfit(turn, issue)
    return None


def _calls_and_outputs(turn: Turn, entry: Json) -> ErrorReply | None:
    called = {call.call_id: call.position for call in turn.calls}
    answered = {output.call_id for output in turn.outputs}
    if len(called) != len(turn.calls):
        return upstream_error(400, {"error": {"message": "Duplicate call_id among the function calls of the input."}})
    for output in turn.outputs:
        if called.get(output.call_id, turn.length) >= output.position:
            message = f"No tool call found for function call output with call_id {output.call_id}."
            return upstream_error(400, {"error": {"message": message, "param": "input"}})
    trailing = _trailing_start(turn)
    for call in turn.calls:
        if call.call_id not in answered and call.position < trailing:
            message = f"No tool output found for function call {call.call_id}."
            return upstream_error(400, {"error": {"message": message, "param": "input"}})
    return None


def _trailing_start(turn: Turn) -> int:
    """From here on there are only calls and their reasoning: a run that the model left, still without outputs."""
    start = turn.length
    while any(call.position == start - 1 for call in turn.calls):
        start -= 1
    return start


def _modalities(turn: Turn, entry: Json) -> ErrorReply | None:
    takes = set(entry["architecture"]["input_modalities"])
    # Files are parsed by the platform for any model; the other kinds need a model that takes them.
    for kind in ("image", "audio", "video"):
        if kind in turn.modalities and kind not in takes:
            named = "image input" if kind == "image" else f"input {kind}"
            return _no_endpoint(f"No endpoints found that support {named}", f"Filter by {kind.title()} Support")
    wanted = turn.body.get("modalities")
    if isinstance(wanted, list) and "image" in wanted and "image" not in entry["architecture"]["output_modalities"]:
        listed = ", ".join(str(kind) for kind in wanted)
        message = f"No endpoints found that support the requested output modalities: {listed}"
        return _no_endpoint(message, "Filter by Model Output Modalities")
    return None


def _tools(turn: Turn, entry: Json) -> ErrorReply | None:
    if turn.body.get("tools") and "tools" not in entry["supported_parameters"]:
        return _no_endpoint(f"No endpoints found that support tool use. {_ROUTING}", "Filter by Parameters")
    tools = turn.body.get("tools")
    kinds = {tool.get("type") for tool in tools if isinstance(tool, dict)} if isinstance(tools, list) else set()
    choice = turn.body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kinds & {"openrouter:tool_search", "tool_search"} and kind not in {None, "auto", "allowed_tools"}:
        return plain_error(400, "tool_search requires tool_choice to be auto or allowed_tools")
    return None


def _reasoning(turn: Turn, entry: Json) -> ErrorReply | None:
    asked = turn.body.get("reasoning")
    support = entry.get("reasoning")
    disabled = turn.asked_effort == "none" or (isinstance(asked, dict) and asked.get("enabled") is False)
    if isinstance(asked, dict) and turn.asked_effort and turn.reasoning_budget is not None:
        return plain_error(400, 'Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified')
    # Aliases map what their target cannot do instead of refusing it.
    if not isinstance(support, dict) or turn.model.startswith("~"):
        return None
    if disabled:
        mandatory = "Reasoning is mandatory for this endpoint and cannot be disabled."
        return plain_error(400, mandatory) if support["mandatory"] else None
    supported = support.get("supported_efforts")
    if turn.asked_effort and supported and turn.asked_effort not in supported:
        return unsupported_effort(entry["id"], turn.asked_effort, tuple(str(effort) for effort in supported))
    if (
        entry["id"].startswith("anthropic/")
        and turn.reasoning_budget is not None
        and turn.max_tokens is not None
        and turn.max_tokens <= turn.reasoning_budget
    ):
        raw = {"type": "error", "error": {"message": "`max_tokens` must be greater than `thinking.budget_tokens`."}}
        return upstream_error(400, raw, provider="Anthropic")
    return None


def _signed_loop(turn: Turn, entry: Json) -> ErrorReply | None:
    """Within its tool loop, sim/tool-loop insists on its reasoning with the untouched signature, as Anthropic does."""
    if entry["id"] != "sim/tool-loop" or not turn.loop_outputs:
        return None
    for call in turn.calls:
        expected = LOOP_SEAL + call.call_id
        if call.position >= turn.loop_start and call.call_id.startswith("call_loop_") and expected not in call.signed:
            message = (
                f"messages.{call.position}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                "`tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."
            )
            return upstream_error(400, {"type": "error", "error": {"message": message}}, provider="Anthropic")
    return None


def _identifiers(turn: Turn, entry: Json) -> ErrorReply | None:
    metadata = turn.body.get("metadata")
    if isinstance(metadata, dict):
        if len(metadata) > 16:
            return _unfit(turn, {"code": "too_big", "path": ["metadata"], "message": "at most 16 pairs"})
        for key, value in metadata.items():
            if len(key) > 64 or "[" in key or "]" in key:
                message = "keys have at most 64 characters and no brackets"
                return _unfit(turn, {"code": "custom", "path": ["metadata", key], "message": message})
            if not isinstance(value, str) or len(value) > 512:
                message = "values are strings of at most 512 characters"
                return _unfit(turn, {"code": "custom", "path": ["metadata", key], "message": message})
    for name in ("user", "session_id"):
        value = turn.body.get(name)
        if isinstance(value, str) and len(value) > 256:
            return _unfit(turn, {"code": "too_big", "path": [name], "message": "at most 256 characters"})
    return None


def _routing(turn: Turn, entry: Json) -> ErrorReply | None:
    wishes = turn.body.get("provider")
    if not isinstance(wishes, dict):
        return None
    tags = {tag.lower() for tag in provider_tags(entry)}
    only = {name.lower() for name in _names(wishes.get("only"))}
    ignored = {name.lower() for name in _names(wishes.get("ignore"))}
    bases = {tag.split("/")[0] for tag in tags}
    if (only and not only & tags) or bases <= ignored:
        message = "No allowed providers are available for the selected model."
        return _no_endpoint(message, "Filter by Allowed Providers")
    private = wishes.get("data_collection") == "deny" or wishes.get("zdr") is True
    if private and entry["id"].endswith(":free"):
        message = "No endpoints found matching your data policy. Configure: https://openrouter.ai/settings/privacy"
        return _no_endpoint(message, "Filter by Data Policy")
    if wishes.get("require_parameters") is True:
        named = {_REQUIRED_AS[key] for key in _REQUIRED_AS.keys() & turn.body.keys() if turn.body[key] is not None}
        if not named <= set(entry["supported_parameters"]):
            message = f"No endpoints found that can handle the requested parameters. {_ROUTING}"
            return _no_endpoint(message, "Filter by Parameters")
    return None


def _names(value: object) -> Iterator[str]:
    for name in value if isinstance(value, list) else ():
        if isinstance(name, str):
            yield name


def _no_endpoint(message: str, step: str) -> ErrorReply:
    funnel = [{"step": "Start", "endpoint_count": 2}, {"step": step, "endpoint_count": 0}]
    return plain_error(404, message, {"routing_funnel": funnel, "failed_routing_step": step})


def _unfit(turn: Turn, issue: Json) -> ErrorReply:
    if turn.wire == "responses":
        return invalid_prompt([issue])
    path = ".".join(str(part) for part in issue["path"])
    return plain_error(400, f"{path}: {issue['message']}")


_RULES: tuple[Rule, ...] = (
    _input,
    _stateless,
    _reasoning_items,
    _identifiers,
    _calls_and_outputs,
    _modalities,
    _tools,
    _reasoning,
    _routing,
    _signed_loop,
)
