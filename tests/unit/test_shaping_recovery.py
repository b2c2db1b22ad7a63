"""Refusals cured by one changed request, each cure once."""

import pytest
from attrs import evolve

from openrouter_pipe.domain.shaping.recovery import recover
from openrouter_pipe.ports.items import MessageItem, ReasoningItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    Endpoint,
    FaultKind,
    PromptCaching,
    ProviderFault,
    ProviderRequest,
    Reasoning,
)

CACHED = MessageItem(Role.USER, (TextPart("hi", {"type": "ephemeral"}),))
BASE = ProviderRequest(
    Endpoint.RESPONSES,
    "a/b",
    (CACHED,),
    reasoning=Reasoning(effort="xhigh", summary="auto"),
    caching=PromptCaching("5m", (0,)),
    parameters={"cache_control": {"type": "ephemeral"}, "top_p": 1},
)
OPENAI = "Unsupported value: 'xhigh' is not supported with the 'gpt-5' model. Supported values are: 'minimal', 'low', 'medium', and 'high'."  # noqa: E501


def status(message: str = "Provider returned error", code: int | None = 400, **rest: object) -> ProviderFault:
    return ProviderFault(FaultKind.STATUS, message, code, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "effort"),
    [
        (status(OPENAI), "high"),
        (
            status(
                metadata={
                    "raw": '{"error":{"message":"' + OPENAI.replace("'", '\\"') + '","param":"reasoning.effort"}}'
                }
            ),
            "high",
        ),
        (status(metadata={"raw": {"error": {"message": OPENAI}}}), "high"),
        (status(metadata={"previous_errors": [{"message": OPENAI}]}), "high"),
        (status(body='{"error":{"message":"reasoning_effort must be one of low, medium"}}'), "medium"),
        (status("Invalid effort: expected one of none|low"), "low"),
        (status("This model only supports low reasoning effort"), "low"),
        (status("Supported values are: 'low', 'medium', and 'high'."), "high"),
        (ProviderFault(FaultKind.STREAM, OPENAI), "high"),
        (status(OPENAI, 422), "high"),
    ],
)
def test_effort_refused_gives_the_nearest_accepted(fault: ProviderFault, effort: str) -> None:
    recovery = recover(BASE, fault, frozenset())
    assert recovery is not None
    assert (recovery.name, recovery.request.reasoning) == ("effort", Reasoning(effort=effort, summary="auto"))
    assert "xhigh" in recovery.status
    assert effort in recovery.status
    assert recover(recovery.request, fault, frozenset({"effort"})) is None


def test_off_refused_where_reasoning_is_mandatory() -> None:
    for reasoning in (Reasoning(effort="none"), Reasoning(enabled=False)):
        request = ProviderRequest(Endpoint.RESPONSES, "a/b", (), reasoning=reasoning)
        fault = status("Reasoning is mandatory for this endpoint and cannot be disabled.")
        recovery = recover(request, fault, frozenset())
        assert recovery is not None
        assert recovery.request.reasoning == Reasoning(effort="low")


@pytest.mark.parametrize(
    "message",
    [
        "thinking must be enabled when using this beta",
        "`thinking` must be enabled",
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. When `thinking` is enabled, a final assistant message must start with a thinking block",  # noqa: E501
        "This model does not support thinking",
        "reasoning is not supported by this model",
    ],
)
def test_thinking_refused_retries_without_reasoning(message: str) -> None:
    recovery = recover(BASE, status(metadata={"raw": message}), frozenset())
    assert recovery is not None
    assert (recovery.name, recovery.request.reasoning) == ("thinking", None)
    assert recover(BASE, status(message), frozenset({"thinking"})) is None
    assert recover(recovery.request, status(message), frozenset()) is None


def test_cache_control_refused_retries_without_any() -> None:
    fault = status("messages.0.content.0.cache_control: Extra inputs are not permitted")
    recovery = recover(BASE, fault, frozenset())
    assert recovery is not None
    assert recovery.name == "cache_control"
    assert recovery.request.caching is None
    assert recovery.request.parameters == {"top_p": 1}
    assert recovery.request.input == (MessageItem(Role.USER, (TextPart("hi"),)),)
    assert recover(recovery.request, fault, frozenset()) is None  # nothing left to take out


@pytest.mark.parametrize(
    "fault",
    [
        status("Supported values are: 'low'", 500),
        status(OPENAI, 401),
        status(OPENAI, 429),
        ProviderFault(FaultKind.CONNECTION, OPENAI),
        ProviderFault(FaultKind.READ_TIMEOUT, "cache_control"),
        status("Unsupported value: 'xhigh'. Supported values are: 'medium'. param text.verbosity"),
        status("image quality: supported values are low, medium, high"),
        status("service_tier: supported values are low, xhigh"),
        status("Supported values are: 'low'."),
        status("Invalid prompt"),
        status("reasoning effort is wrong"),
        status("", None, metadata={"raw": None, "x": [1, 2.5, True]}, body="<html>"),
    ],
)
def test_other_refusals_are_left_alone(fault: ProviderFault) -> None:
    assert recover(BASE, fault, frozenset()) is None


def test_all_three_in_a_row_then_nothing() -> None:
    request, tried = BASE, frozenset[str]()
    fault = status("cache_control? thinking must be enabled. reasoning effort: supported values are low, high.")
    while (recovery := recover(request, fault, tried)) is not None:
        assert recovery.name not in tried
        request, tried = recovery.request, tried | {recovery.name}
    assert tried == {"cache_control", "effort", "thinking"}


SECRET = ReasoningItem("rs_1", encrypted="e", format="openai-responses-v1")
SIGNED = ReasoningItem("rs_2", text=("t",), signature="s", format="anthropic-claude-v1")
WORDS = ReasoningItem("rs_3", text=("t",))
THOUGHTFUL = ProviderRequest(
    Endpoint.RESPONSES, "a/b", (CACHED, SECRET, SIGNED, WORDS), reasoning=Reasoning(effort="low")
)


@pytest.mark.parametrize(
    "fault",
    [
        status(metadata={"raw": '{"error":{"message":"no","code":"invalid_encrypted_content"}}'}),
        status("The encrypted content gAAA could not be verified. Reason: it could not be decrypted or parsed."),
        status("The encrypted content for item rs_0a1b could not be verified."),
        status("Could not decrypt the provided encrypted_content"),
        status("messages.3.content.0: Invalid `signature` in `thinking` block"),
        status("messages.3.content.0: Invalid `data` in `redacted_thinking` block"),
        status("`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."),
        status("Thought signature is not valid"),
        status("Corrupted thought signature."),
        status("Item with id 'rs_0a1b' not found. Items are not persisted when `store` is set to false.", 404),
        ProviderFault(FaultKind.STREAM, "invalid_encrypted_content"),
    ],
)
def test_refused_reasoning_is_left_out_once(fault: ProviderFault) -> None:
    recovery = recover(THOUGHTFUL, fault, frozenset())
    assert recovery is not None
    assert recovery.name == "proofs"
    assert recovery.request == evolve(THOUGHTFUL, input=(CACHED, WORDS))
    assert "reasoning" in recovery.status
    assert recover(THOUGHTFUL, fault, frozenset({"proofs"})) is None
    assert recover(recovery.request, fault, frozenset()) is None


@pytest.mark.parametrize(
    "message",
    [
        "Function call is missing a thought_signature in functionCall parts",
        "Invalid signature of the webhook",
        "reasoning.encrypted_content is not included",
        "no cookie encrypted content",
    ],
)
def test_other_refusals_leave_reasoning_alone(message: str) -> None:
    assert recover(THOUGHTFUL, status(message), frozenset()) is None


def test_a_server_error_is_no_refusal_of_reasoning() -> None:
    assert recover(THOUGHTFUL, status("invalid_encrypted_content", 500), frozenset()) is None
