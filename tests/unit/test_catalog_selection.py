"""Which models are on offer, why others are refused, and which endpoint answers."""

import logging

import pytest

from openrouter_pipe.domain.catalog.catalog import Catalog
from openrouter_pipe.domain.catalog.routing import EndpointPolicy, choose_endpoint, wants_chat_completions
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, exposed, restriction_reasons
from openrouter_pipe.ports.catalog import Capabilities, ModelCard
from openrouter_pipe.ports.provider import Endpoint, FaultKind, ProviderFault

TOOLS = Capabilities(tools=True)
PAID = ModelCard(id="a/paid", name="Paid", capabilities=TOOLS)
FREE = ModelCard(id="a/free", name="Free", free=True)
TWIN = ModelCard(id="a/paid:free", name="Paid (free)", free=True, capabilities=TOOLS)
EMBED = ModelCard(id="a/embed", name="Embed", capabilities=Capabilities(text_output=False))
CATALOG = Catalog([PAID, FREE, TWIN, EMBED])


@pytest.mark.parametrize(
    ("policy", "offered"),
    [
        (SelectionPolicy(), ["a/paid", "a/free", "a/paid:free"]),
        (SelectionPolicy(" AUTO "), ["a/paid", "a/free", "a/paid:free"]),
        (SelectionPolicy("A.Free, a/paid"), ["a/free", "a/paid"]),
        (SelectionPolicy("a/paid,a.paid,\n"), ["a/paid"]),
        (SelectionPolicy("a/paid:nitro"), ["a/paid:nitro"]),
        (SelectionPolicy("@preset/x"), ["@preset/x"]),
        (SelectionPolicy(free="only"), ["a/free", "a/paid:free"]),
        (SelectionPolicy(free="exclude"), ["a/paid"]),
        (SelectionPolicy(tools="only"), ["a/paid", "a/paid:free"]),
        (SelectionPolicy(tools="exclude"), ["a/free"]),
        (SelectionPolicy(free="only", tools="only"), ["a/paid:free"]),
        (SelectionPolicy("mypipe.a.paid, mypipe.a/free", host_prefix="mypipe"), ["a/paid", "a/free"]),
        (SelectionPolicy("other.a.paid", host_prefix="mypipe"), []),
        (SelectionPolicy("nothing/there"), []),
        (SelectionPolicy(","), []),
        (SelectionPolicy(free="garbage"), []),
    ],
)
def test_what_is_on_offer(policy: SelectionPolicy, offered: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [card.id for card in exposed(CATALOG, policy)] == offered
    assert bool(caplog.records) is not bool(offered)  # fail closed, and say so


@pytest.mark.parametrize(
    ("name", "policy", "words"),
    [
        ("a/paid", SelectionPolicy(), []),
        ("a/paid", SelectionPolicy("a.paid"), []),
        ("a/paid:nitro", SelectionPolicy("a/paid"), []),
        ("a/paid@preset/p", SelectionPolicy("a/paid"), []),
        ("a/paid:nitro@preset/p", SelectionPolicy("a/paid:nitro"), []),
        ("a/paid", SelectionPolicy("a/paid:nitro"), ["MODEL_ID"]),
        ("a/paid:free", SelectionPolicy("a/paid"), ["MODEL_ID"]),
        ("a/paid", SelectionPolicy("a/free"), ["MODEL_ID"]),
        ("a/paid", SelectionPolicy("none/such"), ["MODEL_ID"]),
        (
            "a/paid",
            SelectionPolicy("a/free", "only", "exclude"),
            ["MODEL_ID", "FREE_MODEL_FILTER", "TOOL_CALLING_FILTER"],
        ),
        ("a/free", SelectionPolicy(free="exclude"), ["FREE_MODEL_FILTER"]),
        ("a/free", SelectionPolicy(tools="only"), ["TOOL_CALLING_FILTER"]),
        # pitfall "Free-variant model refused by filter / accepted wrongly"
        ("a/paid:free", SelectionPolicy(free="all"), []),
        ("a/paid:free", SelectionPolicy(free="only"), []),
        ("a/paid:free", SelectionPolicy(free="exclude"), ["FREE_MODEL_FILTER"]),
        ("a/embed:free", SelectionPolicy(free="only"), []),
        ("a/embed:free", SelectionPolicy(free="exclude"), ["FREE_MODEL_FILTER"]),
        ("a/paid:free:online", SelectionPolicy(free="exclude"), ["FREE_MODEL_FILTER"]),
        ("a/paid:nitro", SelectionPolicy(free="only"), ["FREE_MODEL_FILTER"]),
        ("@preset/x", SelectionPolicy(), []),
        ("@preset/x", SelectionPolicy("a/paid"), ["MODEL_ID"]),
        ("@preset/x", SelectionPolicy(free="only"), ["FREE_MODEL_FILTER"]),
        ("a/paid", SelectionPolicy(tools="nonsense"), ["TOOL_CALLING_FILTER"]),
    ],
)
def test_reasons_of_refusal(name: str, policy: SelectionPolicy, words: list[str]) -> None:
    resolved = CATALOG.resolve(name)
    assert resolved is not None
    reasons = restriction_reasons(resolved, CATALOG, policy)
    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


@pytest.mark.parametrize(
    ("model_id", "chat", "responses", "endpoint"),
    [
        ("a/b", "", "", Endpoint.RESPONSES),
        ("a/b", "a/*", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b", "A.B", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b:free", "a/b", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b@preset/p", "a/b", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b:free", "*:free", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b", "x/y, a/?", "", Endpoint.CHAT_COMPLETIONS),
        ("a/b", "a/*", "a/b", Endpoint.RESPONSES),
        ("a/b", "[", " , ", Endpoint.RESPONSES),
        ("a/bc", "a/b", "", Endpoint.RESPONSES),
    ],
)
def test_endpoint_by_globs(model_id: str, chat: str, responses: str, endpoint: Endpoint) -> None:
    assert choose_endpoint(model_id, EndpointPolicy(Endpoint.RESPONSES, chat, responses)) is endpoint


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (ProviderFault(FaultKind.STATUS, "a/b is not supported on the Responses API", 400), True),
        (ProviderFault(FaultKind.STATUS, "Please use /chat/completions for this model", 404), True),
        (ProviderFault(FaultKind.STATUS, "not supported on the Responses API; use chat completions", 400), True),
        (ProviderFault(FaultKind.STATUS, "not supported here, use chat completions instead", 400), True),
        (ProviderFault(FaultKind.STATUS, "not available on chat completions, use the Responses API", 400), False),
        (ProviderFault(FaultKind.STATUS, "x", 400, metadata={"availability": {"code": "wrong_endpoint"}}), True),
        (
            ProviderFault(
                FaultKind.STATUS,
                "Provider returned error",
                400,
                metadata={"raw": {"error": {"message": "audio is not supported by the responses endpoint"}}},
            ),
            True,
        ),
        (ProviderFault(FaultKind.STREAM, "The Responses API does not support this model", None), True),
        (ProviderFault(FaultKind.STATUS, "This model only supports chat completions.", 400), True),
        (ProviderFault(FaultKind.STATUS, "Model a/b is not supported on this endpoint", 404), True),
        (ProviderFault(FaultKind.STATUS, "This endpoint doesn't support audio", 400), True),
        (ProviderFault(FaultKind.STATUS, "wrong endpoint", 400), True),
        (ProviderFault(FaultKind.STATUS, "This endpoint's maximum context length is 8192 tokens", 400), False),
        (ProviderFault(FaultKind.STATUS, "temperature is not supported with this model", 400), False),
        (ProviderFault(FaultKind.STATUS, "Invalid Responses API request", 400), False),
        (ProviderFault(FaultKind.STATUS, "only supported in v1/responses and not in v1/chat/completions", 404), False),
        (ProviderFault(FaultKind.STATUS, "No endpoints found that support tool use", 404), False),
        (ProviderFault(FaultKind.STATUS, "not supported on the Responses API", 500), False),
        (ProviderFault(FaultKind.CONNECTION, "not supported on the Responses API"), False),
        (ProviderFault(FaultKind.STATUS, "", 400, metadata={"raw": None}, body="<html>"), False),
    ],
)
def test_when_the_other_endpoint_is_worth_a_try(fault: ProviderFault, wanted: bool) -> None:
    assert wants_chat_completions(fault) is wanted
