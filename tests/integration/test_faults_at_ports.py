"""Every port fails once in every method: the user reads a text with an error ID, the log has the same ID, nothing leaks."""

from __future__ import annotations

import logging
import re

import pytest
from dependency_injector import providers

from openrouter_pipe.ports.provider import FaultKind, ProviderFault
from pipe_house import KEY, READS, SECRET, House, assert_told

CALLS = [
    *[("provider", "stream", 0), ("catalog_source", "fetch", 0), ("policies", "__call__", 0)],
    *[("store", "save", 0), ("codec", "encode", 0)],
    *[("metrics", method, after) for method in ("count", "gauge", "observe") for after in (0, 1, 2)],
]


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize(("port", "method", "after"), CALLS)
async def test_an_internal_exception_at_every_port_call(port, method, after, recent, caplog):
    house = House(recent=recent)
    if method == "__call__":

        def broken(settings: object) -> object:
            raise RuntimeError(SECRET)

        house.container.core.policies.override(providers.Object(broken))
        failing = None
    else:
        failing = house.break_port(port, method, after)
    with caplog.at_level(logging.DEBUG):
        text = await house.read()
    assert KEY not in text + caplog.text
    assert "ada@example.com" not in text + caplog.text
    assert "Traceback" not in text
    ids = re.findall(r"\b[0-9a-f]{16}\b", text)
    if ids:
        assert ids[0] in caplog.text
    else:
        assert "All is well." in text, "neither an answer nor an error ID"
    assert failing is None or failing.calls
    assert house.container.admission().running == 0


ROWS = {
    **{
        f"status {status}": (ProviderFault(FaultKind.STATUS, "no", status), code)
        for status, code in {
            400: "openrouter_error", 401: "authentication", 402: "insufficient_credits", 403: "authentication",
            404: "openrouter_error", 408: "server_timeout", 409: "openrouter_error", 412: "openrouter_error",
            413: "payload_too_large", 422: "openrouter_error", 429: "rate_limit", 500: "service_error",
            502: "service_error", 503: "service_error", 504: "service_error", 524: "service_error",
            529: "service_error",
        }.items()
    },
    "connect timeout": (ProviderFault(FaultKind.CONNECT_TIMEOUT, "no", timeout=10.0), "network_timeout"),
    "read timeout": (ProviderFault(FaultKind.READ_TIMEOUT, "no", timeout=300.0), "network_timeout"),
    "total timeout": (ProviderFault(FaultKind.TOTAL_TIMEOUT, "no", timeout=60.0), "network_timeout"),
    "DNS": (ProviderFault(FaultKind.CONNECTION, "ConnectError: Name or service not known"), "connection_error"),
    "TLS": (ProviderFault(FaultKind.CONNECTION, "TLS failed (WRONG_VERSION_NUMBER)"), "connection_error"),
    "reset": (ProviderFault(FaultKind.CONNECTION, "ReadError: Connection reset by peer"), "connection_error"),
    "truncated": (ProviderFault(FaultKind.TRUNCATED, "no"), "stream_interrupted"),
    "malformed": (ProviderFault(FaultKind.MALFORMED, "no"), "service_error"),
}  # fmt: skip


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("row", ROWS)
async def test_the_table_in_the_words_of_user_and_operator(row, recent, caplog):
    fault, code = ROWS[row]
    house = House(recent=recent, scripts=((fault,),) * 4)
    with caplog.at_level(logging.WARNING):
        text = await house.read()
    assert READS[code] in text
    assert_told(text, code, caplog.records)
    assert house.outcomes() == {code: 1}


async def test_a_database_that_is_down_costs_the_memory_and_not_the_answer(caplog):
    house = House()
    house.store.failure = f"connection refused with {KEY}"
    notices = []

    async def emit(event: dict) -> None:
        notices.append(str(event))

    house.host.emit = emit
    with caplog.at_level(logging.WARNING):
        assert "All is well." in await house.read()
    assert "memory of this chat is out of reach" in "".join(notices) + caplog.text
    assert "artifacts could not be written: connection refused" in caplog.text
    assert KEY not in caplog.text
    assert house.metrics.counters["artifact_store_failures", ()] >= 1
    assert house.metrics.counters["turns", (("kind", "chat"), ("outcome", "completed"))] == 1


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize(("port", "method"), [("clock", "now"), ("ids", "error_id")])
async def test_a_clock_or_ids_that_fail_reach_nobody_with_their_words(port, method, recent, caplog):
    house = House(recent=recent)
    house.break_port(port, method)
    with caplog.at_level(logging.DEBUG):
        text = await house.read()
    assert KEY not in text + caplog.text.partition("Traceback")[2]
    assert "All is well." in text or re.search(r"Error ID: `[0-9a-f]{16}`", text)


async def test_a_call_that_cannot_be_read_is_logged_redacted_even_if_it_is_the_first(caplog):
    house = House()
    house.break_port("ids", "item_id")
    with caplog.at_level(logging.DEBUG):
        text = await house.read()
    (error_id,) = re.findall(r"Error ID: `([0-9a-f]{16})`", text)
    assert error_id in caplog.text
    assert KEY not in text
    assert "a call could not be read" in caplog.text
    assert KEY not in caplog.text.partition("Traceback")[2]
    assert "ada@example.com" not in caplog.text
