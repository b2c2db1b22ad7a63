"""Artifacts in the host's database: table, envelope, store, key rotation.

SQLite through aiosqlite, PostgreSQL through psycopg 3. What an item means, when it is kept and when it is replayed is the
domain's; caching in front of this store is another adapter's. Importing does no I/O and opens nothing.
"""

from openrouter_pipe.adapters.sql.rotation import RotationProgress, rotate
from openrouter_pipe.adapters.sql.store import SqlArtifactStore

__all__ = ["RotationProgress", "SqlArtifactStore", "rotate"]
