"""The policy that tool orchestration obeys."""

from __future__ import annotations

from attrs import frozen


@frozen
class ToolPolicy:
    """Limits on tools. Times in seconds; ``idle_timeout`` None means no limit, ``shutdown_timeout`` 0 cancels at once."""

    max_loops: int = 25
    max_parallel_global: int = 200
    max_parallel_per_request: int = 5
    batch_cap: int = 4
    timeout: float = 60.0
    batch_timeout: float = 120.0
    idle_timeout: float | None = None
    shutdown_timeout: float = 10.0
    strict: bool = True
    queue_size: int = 50
