"""The tools between two provider rounds: run once, shown as they run, and fitted into what is left of the context."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from openrouter_pipe.domain.history.images import input_kind
from openrouter_pipe.domain.streaming.reducer import TurnReducer
from openrouter_pipe.domain.streaming.text import well_formed_output
from openrouter_pipe.domain.tools.orchestration import CallFinished, CallStarted, ToolProgress
from openrouter_pipe.ports.chat import ChatEvent, ToolFinished, ToolStarted
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, Part, TextPart
from openrouter_pipe.ports.tools import ToolOutput

_CHARACTERS_PER_TOKEN: Final = 4
_SMALLEST_RESERVE: Final = 256
_LARGEST_RESERVE: Final = 4096

LIMIT_REACHED: Final = "Not run: the limit of tool rounds for one answer was reached. Answer with what is known so far."
INTERRUPTED: Final = "Not run: the answer was interrupted before the tool could start."

IndexedCalls = Sequence[tuple[int, FunctionCallItem]]


class ToolRound:
    """The calls of one round and what became of them. ``inputs`` are the kinds of input that the model reads."""

    def __init__(self, calls: IndexedCalls, reducer: TurnReducer, inputs: frozenset[str]) -> None:
        self._calls = calls
        self.calls = tuple(call for _, call in calls)
        self._reducer = reducer
        self._inputs = inputs
        self._outputs: dict[str, ToolOutput] = {}

    async def events(self, progress: AsyncGenerator[ToolProgress, None]) -> AsyncGenerator[ChatEvent, None]:
        """Show the calls as they run."""
        index_of = {call.call_id: index for index, call in self._calls}
        async with aclosing(progress):
            async for step in progress:
                match step:
                    case CallStarted(call):
                        yield ToolStarted(index_of[call.call_id], call)
                    case CallFinished(call, output):
                        self._outputs[call.call_id] = output
                        yield ToolFinished(self._reducer.take_index(), call, output)

    def refuse(self, text: str, reason: str) -> Iterable[ChatEvent]:
        """Give every call that has no output this one instead of running it."""
        for _, call in self._calls:
            if call.call_id not in self._outputs:
                output = ToolOutput(call.call_id, text, ok=False, reason=reason)
                self._outputs[call.call_id] = output
                yield ToolFinished(self._reducer.take_index(), call, output)

    def outcomes(self) -> Iterable[bool]:
        """For every call that has ended, whether it went well."""
        return [output.ok for output in self._outputs.values()]

    def items(self, tokens_left: int | None) -> tuple[FunctionOutputItem, ...]:
        """The outputs for the model, in the order of the calls; what does not fit the context is replaced by a stub.

        ``tokens_left`` None means that the model's context length is not known: everything passes.
        """
        items: list[FunctionOutputItem] = []
        for _, call in self._calls:
            item = _item(self._outputs[call.call_id], self._inputs)
            size = _tokens(item)
            if tokens_left is not None and size > tokens_left:
                stub = _stub(call, item, tokens_left)
                item = stub if _tokens(stub) < size else item
                size = _tokens(item)
            tokens_left = None if tokens_left is None else max(0, tokens_left - size)
            items.append(item)
        return tuple(items)


def tokens_left(context_length: int | None, used: int) -> int | None:
    """What tool results may take of a context of which ``used`` tokens are taken; a little is kept for the answer."""
    if context_length is None:
        return None
    reserve = min(_LARGEST_RESERVE, max(_SMALLEST_RESERVE, context_length // 20))
    return max(0, context_length - used - reserve)


def _item(output: ToolOutput, inputs: frozenset[str]) -> FunctionOutputItem:
    return well_formed_output(FunctionOutputItem(output.call_id, _readable(output, inputs)))


def _readable(output: ToolOutput, inputs: frozenset[str]) -> str | tuple[Part, ...]:
    """The output without what the model cannot read, a note in its place; plain text where only text is left."""
    notes = [
        TextPart(f"[The tool also gave {article} {kind}. You cannot read it; the user can see it.]")
        for part in output.parts
        if (kind := input_kind(part)) not in inputs and kind != "text"
        for article in ("an" if kind[0] in "aeiou" else "a",)
    ]
    if not output.parts or not notes:
        return output.parts or output.text
    kept = (*(part for part in output.parts if input_kind(part) in inputs | {"text"}), *notes)
    texts = [part.text for part in kept if isinstance(part, TextPart)]
    return "\n".join(texts) if len(texts) == len(kept) else kept


def _tokens(item: FunctionOutputItem) -> int:
    return _characters(item) // _CHARACTERS_PER_TOKEN


def _characters(item: FunctionOutputItem) -> int:
    if isinstance(item.output, str):
        return len(item.output)
    return sum(len(part.text) for part in item.output if isinstance(part, TextPart))


def _stub(call: FunctionCallItem, item: FunctionOutputItem, left: int) -> FunctionOutputItem:
    size = _characters(item)
    text = (
        f"The result of {call.name} is left out because it does not fit: it has {size} characters, about "
        f"{size // _CHARACTERS_PER_TOKEN} tokens, and about {left} tokens of the context are left. "
        "Ask for less, for example with a filter, a range or a smaller page."
    )
    return FunctionOutputItem(item.call_id, text)
