"""The host's own helpers for tools, found by feature; any of them may be missing. Not here: when to use which.

Only modules that the host has loaded are looked at, so nothing of the host is needed to import this.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

_log = logging.getLogger(__name__)
_Helper: TypeAlias = Callable[..., Any] | None

_RESULT_PARAMETERS: Final = (
    "request",
    "tool_function_name",
    "tool_result",
    "tool_type",
    "direct_tool",
    "metadata",
    "user",
)


@frozen
class HostHelpers:
    """``process_result`` makes text, files and embeds of whatever a tool returns; ``rebind`` gives a tool the request's
    messages and files, and the turn's emitter; ``citations`` makes sources of the results of ``citation_tools``;
    ``store_image`` keeps an image in the host's storage; ``load_image`` reads one back as a data URL; ``terminal_file`` and
    ``terminal_event`` serve the host's terminal tools; ``user_model`` is the class that the host's helpers expect a user in.
    """

    process_result: _Helper = None
    rebind: _Helper = None
    citations: _Helper = None
    citation_tools: frozenset[str] = frozenset()
    store_image: _Helper = None
    load_image: _Helper = None
    terminal_file: _Helper = None
    terminal_event: _Helper = None
    user_model: Any = None

    def user(self, user: Any) -> Any:
        """The user as the host's helpers want it, or None; a call carries it as a dictionary with more in it."""
        fields = getattr(self.user_model, "model_fields", None)
        if not isinstance(user, Mapping) or not fields:
            return None if isinstance(user, Mapping) else user
        try:
            return self.user_model(**{key: value for key, value in user.items() if key in fields})
        except Exception as error:  # noqa: BLE001 - the host's validation; without a user an image stays inline
            _log.debug("the host's user could not be rebuilt: %s", type(error).__name__)
            return None


def detect_helpers() -> HostHelpers:
    """Look at the host that is running now."""
    process = _function("utils.middleware", "process_tool_result")
    if process is not None and not set(_RESULT_PARAMETERS) <= inspect.signature(process).parameters.keys():
        process = None
    names = getattr(_module("utils.middleware"), "CITATION_TOOL_NAMES", ())
    return HostHelpers(
        process_result=process,
        rebind=_function("utils.tools", "get_updated_tool_function"),
        citations=_function("utils.middleware", "get_citation_source_from_tool_result"),
        citation_tools=frozenset(name for name in names if isinstance(name, str)),
        store_image=_function("utils.middleware", "store_tool_result_image"),
        load_image=_function("utils.files", "get_image_base64_from_url"),
        terminal_file=_function("utils.middleware", "build_terminal_file_tool_result"),
        terminal_event=_function("utils.middleware", "terminal_event_handler"),
        user_model=getattr(_module("models.users"), "UserModel", None),
    )


def _module(name: str) -> Any:
    return sys.modules.get(f"open_webui.{name}")


def _function(module: str, name: str) -> _Helper:
    found = getattr(_module(module), name, None)
    return found if callable(found) else None
