"""The host's tools as it hands them over, read once per call. Not here: running them (``toolbox.py``).

Three sources, in this order:

- the registry, ``__tools__`` with ``__metadata__["tools"]`` behind it: every version puts the tools of its own there, and
  direct tool servers in one of the two. Entries hold live objects; they are read, never copied, logged or kept. Where
  nothing has been resolved into the metadata, direct tool servers are read from ``__metadata__["tool_servers"]`` as the
  browser sent them.
- of these the host offers what it lists in ``body["tools"]``. A filter may have taken something off that list, and tool
  search leaves large tools out of it on purpose, so a tool that is not listed is not offered. It can still be reached
  through the host's own ``call_tool``. In native mode both hosts always make the list, also an empty one; where there
  is none at all, somebody else hands over the tools, and everything in the registry is offered.
- ``body["extra_tools"]``, a key by which filters add to the request: an entry of the registry's shape (with a callable)
  is a tool of its own, a plain function spec replaces what the registry says about the tool of that name. A plain spec
  without such a tool is offered as the filter wants it; a call of it tells the model that nobody can run it. Tools that
  the provider runs are `provider_tools`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from openrouter_pipe.ports.tools import ToolSpec

_log = logging.getLogger(__name__)

_KINDS: Final = {"external": "openapi", "builtin": "builtin", "mcp": "mcp", "terminal": "terminal"}
_CALL_TOOL: Final = "builtin:call_tool"


@frozen
class Entry:
    """One tool of the host. ``callable`` takes keyword arguments only; ``server`` tells the browser where a direct tool
    lives; ``raw`` is the host's own entry."""

    spec: ToolSpec
    function: str
    callable: Callable[..., Awaitable[Any]] | None = field(default=None, repr=False)
    server: Mapping[str, Any] | None = field(default=None, repr=False)
    host_type: str = ""
    tool_id: str = ""
    raw: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def direct(self) -> bool:
        """Whether the browser runs it."""
        return self.server is not None

    @property
    def dispatches(self) -> bool:
        """Whether this is the host's way to reach a tool that is not listed."""
        return self.tool_id == _CALL_TOOL and self.callable is None

    @property
    def asks_the_user(self) -> bool:
        """Whether asking the user is all that the tool does."""
        return self.spec.name == "ask_user" and self.host_type == "builtin"

    @property
    def declared(self) -> frozenset[str]:
        """The parameters that the tool knows."""
        properties = self.spec.parameters.get("properties")
        return frozenset(properties) if isinstance(properties, Mapping) else frozenset()


def offers_tools(metadata: Mapping[str, Any]) -> bool:
    """Whether the host leaves the running of tools to whoever answers: native mode, and not a background task.

    In the other mode the host has run the tools by now. The new host treats every word but ``legacy`` as native. The old
    one always says ``native`` or ``default``, and resolves tools into its metadata in native mode only, so that
    ``default`` without any there is its other mode. Where no mode is given at all, neither host speaks.
    """
    if metadata.get("task"):
        return False
    params = metadata.get("params")
    mode = params.get("function_calling") if isinstance(params, Mapping) else None
    return mode not in ("legacy", "default") or (mode == "default" and bool(metadata.get("tools")))


def read_registry(tools: Any, metadata: Mapping[str, Any], *, direct: bool) -> dict[str, Entry]:
    """Every tool of the host that can be run, by the host's name; those that the browser runs only with ``direct``."""
    entries: dict[str, Entry] = {}
    for source in (tools, metadata.get("tools")):
        if not isinstance(source, Mapping):
            continue
        for name, raw in source.items():
            entry = _entry(name, raw)
            if entry is not None and name not in entries and (direct or not entry.direct):
                entries[name] = entry
    if direct and not metadata.get("tools"):
        for name, raw in _unresolved(metadata.get("tool_servers")):
            entry = _entry(name, raw)
            if entry is not None and name not in entries:
                entries[name] = entry
    return entries


def _unresolved(servers: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries for the tools of direct servers; terminals need the host to say whether they are connected."""
    for server in _list(servers):
        if isinstance(server, Mapping) and not server.get("is_terminal"):
            known = {key: value for key, value in server.items() if key not in ("specs", "system_prompt")}
            for spec in _list(server.get("specs")):
                yield _text(_function(spec).get("name")), {"spec": spec, "direct": True, "server": known}


def offered(entries: Mapping[str, Entry], body: Mapping[str, Any]) -> list[Entry]:
    """What of the registry the host wants the model to see (all of it without a list), then what filters add."""
    if "tools" not in body:
        return [*entries.values(), *_extra(entries, body)]
    listed = {name for spec in _list(body.get("tools")) if (name := _text(_function(spec).get("name")))}
    chosen = [entry for name, entry in entries.items() if name in listed or entry.function in listed]
    return [*chosen, *_extra(entries, body)]


def provider_tools(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of ``extra_tools`` that the provider runs itself; to be sent beside the caller's own ``tools``."""
    return [dict(tool) for tool in _list(body.get("extra_tools")) if _hosted(tool)]


def _extra(entries: Mapping[str, Entry], body: Mapping[str, Any]) -> Iterator[Entry]:
    given = body.get("extra_tools")
    for tool in given.values() if isinstance(given, Mapping) else _list(given):
        if not isinstance(tool, Mapping) or _hosted(tool):
            continue
        if callable(tool.get("callable")):
            entry = _entry(_text(_function(tool.get("spec")).get("name")), tool)
            if entry is not None and not entry.direct:
                yield evolve(entry, spec=evolve(entry.spec, kind="extra"))
            continue
        spec = _function(tool)
        name = _text(spec.get("name"))
        known = entries.get(name)
        if known is not None:
            yield evolve(known, spec=_spec(known.spec.name, spec, known.spec.kind))
        elif name:
            _log.debug("An extra tool is offered that nothing here can run")
            yield Entry(_spec(name, spec, "extra"), name)


def _entry(name: Any, raw: Any) -> Entry | None:
    if not isinstance(raw, Mapping) or not isinstance(name, str) or not name:
        return None
    spec = _function(raw.get("spec"))
    function, host_type, tool_id = _text(spec.get("name")) or name, _text(raw.get("type")), _text(raw.get("tool_id"))
    if raw.get("direct"):
        server = raw.get("server")
        known = {key: value for key, value in server.items() if key != "specs"} if isinstance(server, Mapping) else {}
        return Entry(_spec(name, spec, "direct"), function, server=known, host_type=host_type, raw=raw)
    run = raw.get("callable")
    run = run if callable(run) else None
    if run is None and tool_id != _CALL_TOOL:
        return None
    return Entry(_spec(name, spec, _KINDS.get(host_type, "local")), function, run, None, host_type, tool_id, raw)


def _spec(name: str, spec: Mapping[str, Any], kind: str) -> ToolSpec:
    parameters = spec.get("parameters")
    known: Mapping[str, Any] = {"type": "object", "properties": {}}
    if isinstance(parameters, Mapping):
        known = parameters
    return ToolSpec(name, _text(spec.get("description")).strip(), known, kind)


def _function(spec: Any) -> Mapping[str, Any]:
    """A function's fields, from the nested or the flat form."""
    if not isinstance(spec, Mapping):
        return {}
    nested = spec.get("function")
    return nested if isinstance(nested, Mapping) else spec


def _hosted(tool: Any) -> bool:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    return isinstance(kind, str) and kind != "function" and "spec" not in tool


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
