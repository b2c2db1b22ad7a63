"""Where the bundle starts: class ``Pipe`` where everything is installed, a stand-in that says what is missing elsewhere.

Loading a function file must be quick and must not fail, so nothing heavy is imported before the first request.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openrouter_pipe.adapters.openwebui import PipeServices

REQUIREMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aiosqlite": "aiosqlite>=0.19",
        "cattrs": "cattrs>=23.2",
        "dependency_injector": "dependency-injector>=4.42",
        "lz4": "lz4>=4.3",
        "pyzipper": "pyzipper>=0.3.6",
    }
)
"""What Open WebUI 0.6.28 or 0.12.4 does not bring: import name to requirement. A test holds it against pyproject.toml."""

FOR_SOME: Final = ("psycopg[binary]>=3.1",)
"""Asked for as well, and not missed at once where it cannot be had: before 0.9 Open WebUI brings no PostgreSQL driver that
works with asyncio, and without one a host on PostgreSQL keeps no reasoning and no tool results."""


def pipe_class(module_name: str) -> type:
    """Class ``Pipe`` for the function module of this name, as Open WebUI calls it."""
    missing = [requirement for name, requirement in REQUIREMENTS.items() if importlib.util.find_spec(name) is None]
    if missing:
        from openrouter_pipe.adapters.openwebui.setup_needed import make_setup_class

        quoted = " ".join(f'"{requirement}"' for requirement in missing)
        return make_setup_class(missing, f"{sys.executable} -m pip install {quoted}")
    from openrouter_pipe.adapters.openwebui import make_pipe_class

    return make_pipe_class(_build, module_name, prepare=_prepare)


def _prepare() -> None:
    from openrouter_pipe.composition import pipe  # noqa: F401 - for its effect: everything heavy is imported by it


def _build(pipe_id: str) -> PipeServices:
    from openrouter_pipe.composition.pipe import build

    return build(pipe_id)
