"""Tools that are Python functions in a dictionary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.tools import ToolCall, ToolOutput, ToolSpec

ToolFunction = Callable[[Mapping[str, JsonValue]], Awaitable[str | ToolOutput]]


class MemoryToolbox:
    """`Toolbox` over coroutine functions that take the arguments as one mapping; ``calls`` is what was run."""

    def __init__(self) -> None:
        self._specs: list[ToolSpec] = []
        self._functions: dict[str, ToolFunction] = {}
        self.calls: list[ToolCall] = []

    def add(self, spec: ToolSpec, function: ToolFunction) -> None:
        """Offer a tool; the last one of a name wins."""
        self._specs.append(spec)
        self._functions[spec.name] = function

    def specs(self) -> Sequence[ToolSpec]:
        """All specs in the order they were added."""
        return tuple(self._specs)

    async def run(self, call: ToolCall) -> ToolOutput:
        """Run the function; what it raises is raised."""
        function = self._functions.get(call.name)
        if function is None:
            return ToolOutput(call.call_id, f"Error: there is no tool called {call.name!r}.", ok=False)
        self.calls.append(call)
        result = await function(call.arguments)
        return result if isinstance(result, ToolOutput) else ToolOutput(call.call_id, result)
