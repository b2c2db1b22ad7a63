"""The published OpenAPI document as a judge of request bodies.

What lives here: loading (lazily, once per path), the relaxations where the provider accepts more than it publishes
(contract section 12), readable issues. Not here: the rules beyond the schema (``rules``).
"""

import copy
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import frozen

Json = dict[str, Any]

_REQUESTS = {"responses": "ResponsesRequest", "chat": "ChatRequest"}


@frozen
class SchemaJudge:
    """Validators of the two request bodies; ``issues`` gives the reasons against a body, in the provider's form."""

    validators: Any

    def issues(self, wire: str, body: Json) -> list[Json]:
        """What the published schema has against a body, as the provider words it; empty if nothing."""
        from jsonschema.exceptions import best_match

        error = best_match(self.validators[wire].iter_errors(_relaxed(wire, body)))
        if error is None:
            return []
        return [{"code": "invalid_union", "path": list(error.absolute_path), "message": error.message[:2000]}]


@lru_cache(maxsize=4)
def load_judge(path: Path) -> SchemaJudge:
    """The judge of a document; takes half a second the first time, so call it off the event loop.

    Raises OSError or ValueError when the file is missing or holds no such schemas.
    """
    import yaml
    from jsonschema import Draft202012Validator

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open("rb") as file:
        document = yaml.load(file, Loader=loader)  # noqa: S506 - a safe loader, the C one where libyaml is there
    components = document.get("components") if isinstance(document, dict) else None
    if not isinstance(components, dict) or not set(_REQUESTS.values()) <= set(components.get("schemas", {})):
        raise ValueError(f"{path} is not OpenRouter's OpenAPI document: it lacks {', '.join(_REQUESTS.values())}")
    return SchemaJudge(
        {
            wire: Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
            for wire, name in _REQUESTS.items()
        }
    )


def _relaxed(wire: str, body: Json) -> Json:
    """The body as the schema would have to see it where the real server is more lenient."""
    relaxed = dict(body)
    tools = relaxed.get("tools")
    if wire == "responses" and isinstance(tools, list):
        relaxed["tools"] = [tool for tool in tools if tool != {"type": "tool_search"}]
    provider = relaxed.get("provider")
    if isinstance(provider, dict) and isinstance(provider.get("max_price"), dict):
        prices = {key: str(value) if _is_number(value) else value for key, value in provider["max_price"].items()}
        relaxed["provider"] = provider | {"max_price": prices}
    if any(part.get("type") == "input_image" and "detail" not in part for part in _parts(relaxed.get("input"))):
        relaxed["input"] = copy.deepcopy(relaxed["input"])
        for part in _parts(relaxed["input"]):
            if part.get("type") == "input_image":
                part.setdefault("detail", "auto")
    return relaxed


def _parts(source: object) -> Iterator[Json]:
    for item in source if isinstance(source, list) else ():
        for key in ("content", "output"):
            content = item.get(key) if isinstance(item, dict) else None
            for part in content if isinstance(content, list) else ():
                if isinstance(part, dict):
                    yield part


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
