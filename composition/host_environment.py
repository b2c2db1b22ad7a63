"""The environment as the adapters of a host's database need it: the process's own, and what the running host knows beyond it."""

from __future__ import annotations

from collections.abc import Mapping

from openrouter_pipe.adapters.openwebui.host import told


def with_database(environment: Mapping[str, str]) -> Mapping[str, str]:
    """``environment``, with the running host's own DATABASE_URL where neither that nor DATA_DIR is set.

    The host's default data folder depends on how it was installed; only the host knows it, and only when loaded.
    """
    if environment.get("DATABASE_URL") or environment.get("DATA_DIR") or not (address := told("DATABASE_URL")):
        return environment
    return {**environment, "DATABASE_URL": address}
