"""Redis between several workers: a cache of artifacts, the write-behind queue in front of the database, cost
snapshots; and what one worker does for all of them: fetching the catalogue, cleaning up.

Rows are here in their stored form only. Whether Redis is used at all is decided by the composition; what a row means and how
it is sealed is not known here. Importing does no I/O and opens nothing. Needs Redis 6.2 or newer (XAUTOCLAIM).
"""

from openrouter_pipe.adapters.redis.catalog import SharedCatalog
from openrouter_pipe.adapters.redis.connection import RedisAway, RedisLink, connect
from openrouter_pipe.adapters.redis.costs import RedisCostSink, read_costs
from openrouter_pipe.adapters.redis.leading import LeadingCleanUp
from openrouter_pipe.adapters.redis.store import CachedArtifactStore

__all__ = [
    "CachedArtifactStore",
    "LeadingCleanUp",
    "RedisAway",
    "RedisCostSink",
    "RedisLink",
    "SharedCatalog",
    "connect",
    "read_costs",
]
