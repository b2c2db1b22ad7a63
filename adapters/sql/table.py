"""The table of stored items: its name, its columns, and creating it while other workers do the same."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sqlalchemy import JSON, Boolean, Column, DateTime, MetaData, String, Table

from openrouter_pipe.ports.artifacts import StorePolicy

_PREFIX: Final = "response_items_"
_LONGEST_FRAGMENT: Final = 62
_LONGEST_POSTGRES_NAME: Final = 63
_DIGEST: Final = re.compile("[0-9a-f]{8}")
ID_LENGTH: Final = 20
CHAT_LENGTH: Final = 64
MESSAGE_LENGTH: Final = 64
MODEL_LENGTH: Final = 128
TYPE_LENGTH: Final = 64


def table_name(pipe_id: str, key: str) -> str:
    """The table of a pipe and a key: another key is another table, so that rows of different keys never mix."""
    fragment = re.sub(r"[^a-z0-9_]", "_", pipe_id.lower()).strip("_") or "pipe"
    digest = hashlib.sha256((key + pipe_id).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_PREFIX}{fragment[:_LONGEST_FRAGMENT]}_{digest}"


def fit(name: str, *, is_sqlite: bool) -> str:
    """``name`` as the database takes it: PostgreSQL names end at 63 bytes, the digest must not be what is cut."""
    if is_sqlite or len(name) <= _LONGEST_POSTGRES_NAME:
        return name
    digest = name[-9:]
    return name[: _LONGEST_POSTGRES_NAME - len(digest)] + digest


def belongs(name: str, pipe_id: str, *, is_sqlite: bool) -> bool:
    """Whether a table is one of this pipe's, of whatever key."""
    digest = name[-8:]
    stem = table_name(pipe_id, "")[:-8]
    return _DIGEST.fullmatch(digest) is not None and name == fit(stem + digest, is_sqlite=is_sqlite)


def key_ring(policy: StorePolicy) -> tuple[str, ...]:
    """All keys whose tables are read, the one written first. The empty key (plain rows) is always read: an operator who
    sets a key for the first time must not lose what was stored before."""
    keys = [policy.key.reveal(), *(key.reveal() for key in policy.previous_keys), ""]
    return tuple(dict.fromkeys(keys))


def describe(name: str, schema: str | None) -> Table:
    """The table as SQLAlchemy sees it, on metadata of its own: the host's must not know of it."""
    return Table(
        name,
        MetaData(schema=schema),
        Column("id", String(ID_LENGTH), primary_key=True),
        Column("chat_id", String(CHAT_LENGTH), index=True, nullable=False),
        Column("message_id", String(MESSAGE_LENGTH), index=True, nullable=False),
        Column("model_id", String(MODEL_LENGTH), nullable=True),
        Column("item_type", String(TYPE_LENGTH), nullable=False),
        Column("payload", JSON, nullable=False),
        Column("is_encrypted", Boolean, nullable=False, default=False),
        Column("created_at", DateTime, index=True, nullable=False),
    )
