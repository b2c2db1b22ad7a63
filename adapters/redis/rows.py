"""Sealed rows as text in Redis, and back; what comes back is checked, for anybody may have put it there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.sealing import SealedArtifact

VERSION: Final = 1
LARGEST: Final = 1024 * 1024
"""Characters of a row that may lie in Redis; larger ones go to the database directly and are not cached."""

_TEXTS: Final = {"table": 100, "id": 20, "chat": 64, "message": 64, "model": 128, "type": 64}


class RowError(ValueError):
    """A text that is no row of ours; says why, never what it holds."""


@frozen
class CachedRow:
    """A row with the chat's generation and the moment (seconds since 1970) at which it was put here."""

    sealed: SealedArtifact
    generation: int
    put_at: float


def encode(row: CachedRow) -> str:
    """The row as JSON text in ASCII."""
    sealed = row.sealed
    return json.dumps(
        {
            "v": VERSION,
            "table": sealed.table,
            "id": sealed.id,
            "chat": sealed.chat_id,
            "message": sealed.message_id,
            "model": sealed.model_id,
            "type": sealed.item_type,
            "payload": dict(sealed.payload),
            "encrypted": sealed.is_encrypted,
            "created": sealed.created_at.astimezone(UTC).timestamp(),
            "generation": row.generation,
            "put": row.put_at,
        },
        separators=(",", ":"),
    )


def decode(text: bytes | str | None) -> CachedRow:
    """The row of a text; raises `RowError` for anything that `encode` did not write."""
    if text is None:
        raise RowError("it has no row")
    try:
        # as text, so that it is not searched for its encoding
        value: JsonValue = json.loads(text if isinstance(text, str) else text.decode("ascii"))
    except (ValueError, RecursionError):
        raise RowError("it is not JSON") from None
    if not isinstance(value, dict) or value.get("v") != VERSION:
        raise RowError("its version is unknown")
    texts: dict[str, str] = {}
    for name, longest in _TEXTS.items():
        given = value.get(name)
        if not isinstance(given, str) or len(given) > longest:
            raise RowError(f"its {name} is missing or too long")
        texts[name] = given
    payload, encrypted = value.get("payload"), value.get("encrypted")
    if not isinstance(payload, dict) or not isinstance(encrypted, bool):
        raise RowError("its payload is missing")
    return CachedRow(
        SealedArtifact(
            texts["table"],
            texts["id"],
            texts["chat"],
            texts["message"],
            texts["model"],
            texts["type"],
            payload,
            encrypted,
            _moment(_number(value, "created")),
        ),
        int(_number(value, "generation")),
        _number(value, "put"),
    )


def _number(value: dict[str, JsonValue], name: str) -> float:
    given = value.get(name)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e11:
        raise RowError(f"its {name} is no number that fits")
    return float(given)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def count(answer: bytes | None) -> int:
    """A number that a key counts; 0 for a key that is absent or holds something else."""
    return int(answer) if answer and answer.isdigit() and len(answer) < 16 else 0


def moment(answer: bytes | None) -> float:
    """Seconds since 1970 that a key holds; -1 for a key that is absent or holds something else."""
    try:
        return float(answer or b"-1")
    except ValueError:
        return -1.0
