"""What the running Open WebUI can do, found by feature. Not here: using any of it.

Only modules that the host itself has already loaded are looked at, so that this works where Open WebUI is installed
but not running, or absent: such a place is treated like a host of today without a chat around it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Awaitable
from pathlib import PurePath
from types import ModuleType
from typing import Any, Final, TypeVar

from attrs import frozen

_T = TypeVar("_T")
_CLOSES_SINCE: Final = (0, 9, 6)


@frozen
class Host:
    """Capabilities of one host.

    ``native_items``: Responses events become stored output items. ``closes_stream``: a finish chunk and ``[DONE]`` follow
    whatever a generator yields. ``renders_inputs``: valve fields may carry ``input`` hints other than colour and map
    (elsewhere such a field would vanish from the form). ``temporary_sources``: source events of temporary chats do not raise.
    """

    present: bool = False
    native_items: bool = False
    closes_stream: bool = True
    renders_inputs: bool = True
    temporary_sources: bool = True


def detect() -> Host:
    """Look at the host that is running now."""
    if not any(name in sys.modules for name in ("open_webui.functions", "open_webui.utils.plugin")):
        return Host()
    native = hasattr(_loaded("open_webui.utils.middleware"), "handle_responses_streaming_event")
    plugin = _loaded("open_webui.utils.plugin")
    version = _version()
    return Host(
        present=True,
        native_items=native,
        # No attribute tells this one apart; the version decides, and where it is unknown the age of the item format.
        closes_stream=version >= _CLOSES_SINCE if version else native,
        renders_inputs=hasattr(plugin, "resolve_valves_schema_options"),
        temporary_sources=native,
    )


def _loaded(name: str) -> ModuleType | None:
    return sys.modules.get(name)


def told(name: str) -> str:
    """What the running host's own environment says under ``name`` (VERSION, DATA_DIR, DATABASE_URL); else empty."""
    value = getattr(_loaded("open_webui.env"), name, None)
    return str(value) if isinstance(value, str | PurePath) else ""


def _version() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", told("VERSION"))
    numbers = tuple(int(group) for group in found.groups()) if found else ()
    return numbers if any(numbers) else ()


async def maybe_await(value: _T | Awaitable[_T]) -> _T:
    """The value itself, or what it resolves to: model classes are synchronous up to 0.8 and asynchronous after."""
    if inspect.isawaitable(value):
        return await value
    return value


def function_id(module_name: str, model: str = "") -> str:
    """The host's id of the function that runs in this module, or an empty string.

    0.6 names the module ``function_<id>``, 0.12 ``function_<id>_<32 hex>``. The shape tells them apart; an id that itself
    ends like that is recognised by a ``model`` of that function.
    """
    if not module_name.startswith("function_"):
        return ""
    name = module_name.removeprefix("function_")
    return name if model.startswith(name + ".") else re.sub(r"(?<=.)_[0-9a-f]{32}\Z", "", name)


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if the host handed over a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """``value`` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
