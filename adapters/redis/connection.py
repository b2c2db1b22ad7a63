"""Reaching Redis as the host reaches it, and not asking it again for a while after it failed.

Addresses and options are the host's environment variables: REDIS_URL (``redis://``, ``rediss://``, ``unix://``),
REDIS_SENTINEL_HOSTS and _PORT (the URL's host is then the name of the service), REDIS_CLUSTER, REDIS_SOCKET_TIMEOUT and
_CONNECT_TIMEOUT.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

DEADLINE: Final = 3.0
"""Seconds that one use of Redis may take: it is there to be faster than the database."""

_RETRY_AFTER: Final = 2.0
_PROBE_AFTER: Final = 30.0
_HINTS: Final = {
    "AuthenticationError": "check the user and password in REDIS_URL",
    "NoPermissionError": "the user in REDIS_URL may not run the commands that are needed",
    "ReadOnlyError": "REDIS_URL names a read-only replica",
    "OutOfMemoryError": "Redis has reached maxmemory",
    "ResponseError": "it refused a command; Redis 6.2 or newer is needed, and the database number must exist",
}


class RedisAway(Exception):  # noqa: N818 - a state, not a mistake
    """Redis cannot be used now; the message holds no address and no secret."""


def connect(environment: Mapping[str, str]) -> Any:
    """A client of redis-py (asyncio) for the host's Redis; opens nothing. Bytes in, bytes out.

    Raises:
        ImportError: the library is missing.
        ValueError: an address that cannot be used; names the variable.
    """
    import redis.asyncio as library
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    url = environment.get("REDIS_URL", "").strip()
    options: dict[str, Any] = {
        # once more where a pooled connection was closed by a restart of Redis; a server that is gone is not waited for
        "retry": Retry(NoBackoff(), 1),
        "socket_timeout": _seconds(environment, "REDIS_SOCKET_TIMEOUT"),
        "socket_connect_timeout": _seconds(environment, "REDIS_SOCKET_CONNECT_TIMEOUT"),
        "decode_responses": False,
    }
    hosts = [host.strip() for host in environment.get("REDIS_SENTINEL_HOSTS", "").split(",") if host.strip()]
    try:
        if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("no scheme of Redis")  # noqa: TRY301 - said below, without the address
        if hosts:
            return _through_sentinels(environment, hosts, url, options)
        if environment.get("REDIS_CLUSTER", "").strip().lower() == "true":
            return library.RedisCluster.from_url(url, **options)
        return library.Redis.from_url(url, retry_on_error=[library.ConnectionError], **options)
    except ValueError:
        raise ValueError(
            "REDIS_URL must be redis://, rediss:// or unix:// with a numeric database, REDIS_SENTINEL_PORT a number"
        ) from None


def _through_sentinels(environment: Mapping[str, str], hosts: list[str], url: str, options: dict[str, Any]) -> Any:
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel
    from redis.backoff import NoBackoff

    parts = urlsplit(url)
    port = int(environment.get("REDIS_SENTINEL_PORT", "").strip() or 26379)
    service = parts.netloc.rpartition("@")[2].split(":")[0] or "mymaster"  # case counts: not parts.hostname
    login = {"username": parts.username or None, "password": parts.password or None}
    # one that does not answer must leave time to ask the next
    patience = {name: min(options[name], 1.0) for name in ("socket_timeout", "socket_connect_timeout")}
    timeouts = {"retry": Retry(NoBackoff(), 0), **patience}
    addresses = [(host, port) for host in hosts]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        addresses,
        sentinel_kwargs={**login, **timeouts},
        db=int(parts.path.lstrip("/") or 0),
        **login,
        **options,
    )
    if login["password"]:
        # Newer hosts log in to sentinels too, older ones do not; a sentinel without password refuses to be given one.
        sentinel.sentinels += Sentinel(addresses, sentinel_kwargs=timeouts).sentinels  # type: ignore[no-untyped-call]
    return sentinel.master_for(service)


def _sentinels(client: Any) -> tuple[Any, ...]:
    """The clients of the sentinels that ``client`` asks for its master: the library leaves them open."""
    pool = getattr(client, "connection_pool", None)
    return tuple(getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()))


def _seconds(environment: Mapping[str, str], name: str) -> float:
    try:
        given = float(environment.get(name, ""))
    except ValueError:
        return DEADLINE
    return min(given, DEADLINE) if given > 0 else DEADLINE


class RedisLink:
    """One client, opened at first use, with a pause after each failure. ``clock`` is monotonic; times in seconds.

    ``can_hold`` says whether Redis may hold what is nowhere else: not while it evicts keys that do not expire.
    """

    def __init__(
        self,
        open_client: Callable[[], Any],
        *,
        clock: Callable[[], float] = time.monotonic,
        deadline: float = DEADLINE,
    ) -> None:
        self._open = open_client
        self._deadline = deadline
        self._clock = clock
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._away_until = 0.0
        self._probed_at: float | None = None
        self._trouble = ""
        self.can_hold = False

    @property
    def available(self) -> bool:
        """Whether it is worth trying."""
        return not self._closed and self._clock() >= self._away_until

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncGenerator[Any, None]:
        """The client, for a few commands; raises `RedisAway` when any of them fails or takes too long."""
        from redis.exceptions import RedisError

        if not self.available:
            raise RedisAway(self._trouble or "closed")
        if self._loop is not (loop := asyncio.get_running_loop()):
            # Connections belong to the loop that opened them; it is gone, and with it the way to close them.
            self._loop, self._client, self._probed_at = loop, None, None
        try:
            async with asyncio.timeout(self._deadline):
                if self._client is None:
                    self._client = self._open()
                if self._probed_at is None or self._clock() - self._probed_at > _PROBE_AFTER:
                    await self._probe(self._client)
                yield self._client
        except (RedisError, OSError, TimeoutError, ValueError, ImportError) as error:
            raise self._failed(error) from None
        if self._trouble:
            _log.warning("Redis is back")
            self._trouble = ""

    async def aclose(self) -> None:
        """Close every connection; nothing can be used afterwards."""
        from redis.exceptions import RedisError

        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEADLINE):
                    for one in (client, *_sentinels(client)):
                        with contextlib.suppress(RedisError, OSError):
                            await one.aclose()

    async def _probe(self, client: Any) -> None:
        """Look at what kind of Redis this is. In a cluster each node answers for itself; the strictest counts."""
        answers = await client.info()
        nodes = list(answers.values()) if answers and all(isinstance(one, dict) for one in answers.values()) else []
        evicts, replica = False, False
        for node in nodes or [answers]:
            evicts |= str(node.get("maxmemory_policy", "")).startswith("allkeys") and bool(node.get("maxmemory", 0))
            replica |= str(node.get("role", "master")) != "master" and not nodes
        if replica:
            from redis.exceptions import ReadOnlyError

            raise ReadOnlyError
        if evicts and (self.can_hold or self._probed_at is None):
            _log.warning(
                "Redis may evict keys that do not expire (maxmemory-policy allkeys-*): it serves as cache only, artifacts"
                " are written directly; use noeviction or volatile-* to have them written behind"
            )
        self.can_hold = not evicts
        self._probed_at = self._clock()

    def _failed(self, error: BaseException) -> RedisAway:
        kind = type(error).__name__
        if "OOM " in str(error):
            kind = "OutOfMemoryError"  # a script that ran into it says so only in its text
        names = [kind, *(one.__name__ for one in type(error).__mro__)]
        hint = next((_HINTS[one] for one in names if one in _HINTS), "")
        told = f"{kind}: {hint}" if hint else kind
        if told != self._trouble:
            _log.warning("Redis cannot be used (%s); artifacts go to the database directly", told)
        self._trouble = told
        self._away_until = self._clock() + _RETRY_AFTER
        self._probed_at = None
        return RedisAway(told)
