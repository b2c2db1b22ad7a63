"""Where the host keeps its database, read from the environment by the host's own rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from attrs import field, frozen
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from openrouter_pipe.ports.artifacts import ArtifactStoreError

_PARTS = ("DATABASE_TYPE", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME")
_NAMES = (
    *_PARTS,
    "DATABASE_USER",
    "DATABASE_PASSWORD",
    "DATABASE_URL",
    "DATABASE_SCHEMA",
    "DATABASE_ENABLE_SQLITE_WAL",
    "DATA_DIR",
)
_POSTGRES = re.compile(r"^postgresql(\+\w+)?$")
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


@frozen
class Location:
    """A database: address with the asynchronous driver's name, schema (None = default), and whether SQLite is to use WAL.

    ``wal`` False leaves the journal as the host has it: one that runs without WAL (Open WebUI up to 0.8 by default)
    asks for the rollback journal with every connection it opens, and gets "database is locked" while anybody else
    has the file open in WAL mode.
    """

    url: URL = field(repr=False)
    schema: str | None = None
    wal: bool = False

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file of our own machine."""
        return self.url.get_backend_name() == "sqlite"


def locate(environment: Mapping[str, str]) -> Location:
    """The host's database.

    DATABASE_TYPE, _USER, _PASSWORD, _HOST, _PORT and _NAME together, else DATABASE_URL, else ``webui.db`` in DATA_DIR.

    Raises:
        ArtifactStoreError: nothing names a database, the address cannot be read, or it is of a kind we do not speak.
    """
    return _located(tuple((name, environment[name]) for name in _NAMES if name in environment))


@functools.lru_cache(maxsize=16)
def _located(variables: tuple[tuple[str, str], ...]) -> Location:
    environment = dict(variables)
    try:
        url = make_url(_address(environment))
    except (ArgumentError, ValueError):
        # The address may hold a password: it is not repeated, and the original error is not chained.
        raise ArtifactStoreError(
            "DATABASE_URL cannot be read; expected e.g. postgresql://user:password@host/db"
        ) from None
    family = "postgresql" if _POSTGRES.match(url.drivername) else url.drivername.removesuffix("+aiosqlite")
    if family not in _DRIVERS:
        raise ArtifactStoreError(f"DATABASE_URL: {family!r} is not supported; use sqlite or postgresql")
    return Location(
        url=url.set(drivername=_DRIVERS[family]),
        schema=environment.get("DATABASE_SCHEMA") or None,
        wal=environment.get("DATABASE_ENABLE_SQLITE_WAL", "").strip().lower() == "true",
    )


def _address(environment: Mapping[str, str]) -> str:
    user, password = environment.get("DATABASE_USER", ""), environment.get("DATABASE_PASSWORD", "")
    credentials = f"{user}:{password}" if password else user
    kind, host, port, name = (environment.get(part, "") for part in _PARTS)
    if kind and credentials and host and port and name:
        address = f"{kind}://{credentials}@{host}:{port}/{name}"
    elif environment.get("DATABASE_URL"):
        address = environment["DATABASE_URL"]
    elif environment.get("DATA_DIR"):
        address = f"sqlite:///{environment['DATA_DIR']}/webui.db"
    else:
        raise ArtifactStoreError("No database is configured; set DATABASE_URL, or DATA_DIR to the host's data folder")
    return address.replace("postgres://", "postgresql://")
