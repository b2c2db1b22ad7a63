"""One inference request from its body to its last byte, on either endpoint.

What lives here: the order of judging, faults, scripting and sending. Not here: each of these.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import count
from typing import Any

import orjson
from attrs import evolve

from openrouter_pipe.adapters.simulator.account import generation_row
from openrouter_pipe.adapters.simulator.catalogue import Catalogue, endpoints
from openrouter_pipe.adapters.simulator.chat_wire import chat_frames, chat_reply
from openrouter_pipe.adapters.simulator.config import (
    HEADER_PREFIX,
    KnobError,
    Knobs,
    SimulatorConfig,
    knobs_from_headers,
    knobs_from_text,
)
from openrouter_pipe.adapters.simulator.errors import ErrorReply, check_kind, known_kinds, ordered_error, plain_error
from openrouter_pipe.adapters.simulator.exchange import Exchange
from openrouter_pipe.adapters.simulator.player import Reset, play
from openrouter_pipe.adapters.simulator.record import RequestLog
from openrouter_pipe.adapters.simulator.responses_wire import Header, encode, responses_frames, responses_reply
from openrouter_pipe.adapters.simulator.scenarios import ERROR_SHAPES, script_for, with_error
from openrouter_pipe.adapters.simulator.script import Step
from openrouter_pipe.adapters.simulator.turn import Turn
from openrouter_pipe.adapters.simulator.validation import Validator

Json = dict[str, Any]

_STREAM_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}


class Inference:
    """Answers ``/responses`` and ``/chat/completions``."""

    def __init__(self, config: SimulatorConfig, log: RequestLog) -> None:
        self._config = config
        self._log = log
        self._validator = Validator(config.schema_path)
        self._numbers = count(1)

    async def serve(self, exchange: Exchange, wire: str, raw: bytes, catalogue: Catalogue, queued: Knobs) -> None:
        """One reply. Raises Reset where a fault orders the connection to be reset."""
        identity = self._identity()
        judged = await self._validator.judge(wire, raw, catalogue)
        if isinstance(judged, ErrorReply):
            await exchange.reply_error(judged, identity)
            return
        turn, entry = judged
        try:
            knobs = self._knobs(exchange.headers, turn, queued)
            steps = _with_faults(script_for(turn, entry, knobs), knobs)
        except KnobError as error:
            await exchange.reply_error(plain_error(400, str(error)), identity)
            return
        if knobs.delay_ms:
            await self._config.sleep(knobs.delay_ms / 1000)
        if knobs.fault == "reset" and not knobs.after:
            raise Reset
        if knobs.status is not None:
            await exchange.reply_error(ordered_error(knobs.status, knobs.kind, turn.model, knobs.retry_after), identity)
            return
        header = self._header(exchange.headers, identity["x-generation-id"], turn, entry)
        await self._answer(exchange, header, steps, knobs, identity)
        row = generation_row(header.generation_id, turn, header.model, exchange.headers, header.created)
        self._log.tell_generation(header.generation_id, row)

    async def _answer(
        self, exchange: Exchange, header: Header, steps: Iterable[Step], knobs: Knobs, identity: Mapping[str, str]
    ) -> None:
        frames = responses_frames(header, steps)
        chat = header.turn.wire == "chat"
        if chat:
            frames = chat_frames(header, frames)
        if not header.turn.stream and knobs.fault in {None, "error"}:
            reply = chat_reply(header, frames) if chat else responses_reply(frames)
            body = b" " * (knobs.padding or 0) + encode(reply)
            await exchange.reply(200, body, {"content-type": "application/json", **identity})
            return
        # A faulty reply without stream is played as a stream too: cut off, silent or garbled, it is no JSON anyway.
        kind = _STREAM_HEADERS if header.turn.stream else {"content-type": "application/json"}
        await exchange.start(200, {**kind, **identity})
        async for piece in play(frames, knobs, self._config.sleep):
            await exchange.write(piece)
        await exchange.end()

    def _identity(self) -> dict[str, str]:
        number = next(self._numbers)
        digest = sha256(f"generation {number}".encode()).hexdigest()
        created = int(self._config.clock())
        return {"x-generation-id": f"gen-{created}-{digest[:20]}", "request-id": f"req-{created}-{digest[20:40]}"}

    def _header(self, headers: Mapping[str, str], generation_id: str, turn: Turn, entry: Json) -> Header:
        wanted = headers.get("x-openrouter-metadata", headers.get("x-openrouter-experimental-metadata", ""))
        metadata = _routing_metadata(turn, entry) if wanted.lower() == "enabled" else None
        return Header(generation_id, int(self._config.clock()), turn, entry, metadata)

    def _knobs(self, headers: Mapping[str, str], turn: Turn, queued: Knobs) -> Knobs:
        """The knobs in force: headers over the user's text over queued faults over the config. Raises KnobError."""
        named = "\n".join(f"{key}={value}" for key, value in headers.items() if key.startswith(HEADER_PREFIX))
        from_headers = self._limited(knobs_from_headers(headers), named, turn)
        from_text = self._limited(knobs_from_text(turn.last_text)[0], turn.last_text, turn)
        knobs = from_headers.over(from_text.over(queued.over(self._limited(self._config.knobs, "config", turn))))
        if knobs.status is not None and knobs.kind is not None and not check_kind(knobs.status, knobs.kind):
            known = ", ".join(known_kinds())
            raise KnobError(f"simulator: no error of kind {knobs.kind!r} for status {knobs.status}; kinds: {known}")
        return knobs

    def _limited(self, knobs: Knobs, source: str, turn: Turn) -> Knobs:
        """Without the fault once it has struck ``times`` times; a retry repeats the source, the turn and the session."""
        if knobs.times is None or not knobs.faulty:
            return knobs
        key = orjson.dumps([source, len(turn.user_texts), turn.last_text, turn.body.get("session_id")])
        if source == "config":
            key = b"config"
        if self._log.strikes(sha256(key).hexdigest(), knobs.times):
            return knobs
        return evolve(knobs.without_fault(), times=None)


def _with_faults(steps: list[Step], knobs: Knobs) -> list[Step]:
    if knobs.fault != "error":
        return steps
    if not knobs.after:
        return [ERROR_SHAPES[knobs.shape or 1]]
    return with_error(steps, knobs.after, knobs.shape or 1)


def _routing_metadata(turn: Turn, entry: Json) -> Json:
    available = [
        {"provider": row["provider_name"], "model": entry["id"], "selected": place == 0}
        for place, row in enumerate(endpoints(entry))
    ]
    chosen = available[0]["provider"]
    return {
        "requested": turn.model,
        "strategy": "direct",
        "region": "iad",
        "summary": f"available={len(available)}, selected={chosen}",
        "attempt": 1,
        "is_byok": False,
        "endpoints": {"total": len(available), "available": available},
        "attempts": [{"provider": chosen, "model": entry["id"], "status": 200}],
    }
