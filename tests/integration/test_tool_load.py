"""Many turns with many tools at once, on the in-memory build: everybody is answered, limits hold, nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping

from openrouter_pipe.adapters.memory import MemoryToolbox, ScriptedProvider, answer
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Completed, Identity, TextAdded, ToolFinished
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, ItemKind, Role, TextPart
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import (
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderEvent,
    ProviderRequest,
    ResponseFinished,
    ResponseStarted,
)
from openrouter_pipe.ports.settings import Secret, Settings
from openrouter_pipe.ports.tools import ToolSpec

TURNS = 200
CALLS = 5
EVERYWHERE = 30
SETTINGS = Settings(
    API_KEY=Secret("sk-or-test"),
    MAX_CONCURRENT_REQUESTS=TURNS,
    MAX_PARALLEL_TOOLS_GLOBAL=EVERYWHERE,
    MAX_PARALLEL_TOOLS_PER_REQUEST=CALLS,
)


def script(request: ProviderRequest) -> list[ProviderEvent] | tuple[object, ...]:
    """Five calls that name the turn, then an answer made of their outputs."""
    outputs = [item.output for item in request.input if isinstance(item, FunctionOutputItem)]
    if outputs:
        return answer(" ".join(str(output) for output in outputs))
    question = request.input[-1].parts[0].text
    calls = [FunctionCallItem(f"call_{n}", "double", f'{{"n": {n}, "turn": {question}}}') for n in range(CALLS)]
    events: list[ProviderEvent] = [ResponseStarted("gen", request.model)]
    for index, call in enumerate(calls):
        events += [ItemStarted(index, ItemKind.FUNCTION_CALL, call), ItemFinished(index, call)]
    return [*events, ResponseFinished(FinishStatus.COMPLETED, None, output=tuple(calls), model=request.model)]


class Crowd:
    """A tool that counts who is inside."""

    def __init__(self) -> None:
        self.now = self.most = self.runs = 0
        self.boxes: weakref.WeakSet[MemoryToolbox] = weakref.WeakSet()

    async def double(self, arguments: Mapping[str, JsonValue]) -> str:
        self.runs += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(int(arguments["n"]) + 1):
                await asyncio.sleep(0)
            return f"{arguments['turn']}:{2 * int(arguments['n'])}"
        finally:
            self.now -= 1

    def toolbox(self) -> MemoryToolbox:
        box = MemoryToolbox()
        self.boxes.add(box)
        numbers = {"n": {"type": "integer"}, "turn": {"type": "integer"}}
        parameters = {"type": "object", "properties": numbers, "required": ["n", "turn"]}
        box.add(ToolSpec("double", "doubles", parameters), self.double)
        return box


async def test_two_hundred_turns_with_five_tools_each_are_all_answered_and_leave_nothing() -> None:
    container = InMemoryContainer()
    container.provider.override(ScriptedProvider(fallback=script))
    chat, crowd = container.chat(), Crowd()
    await chat.models(SETTINGS)
    tasks = len(asyncio.all_tasks())

    async def turn(number: int) -> None:
        request = ChatRequest(
            model="memory.echo",
            messages=(ChatMessage(Role.USER, (TextPart(str(number)),)),),
            settings=SETTINGS,
            request_id=f"r{number}",
            identity=Identity(f"user {number % 7}", "s", f"c{number}", f"m{number}"),
            toolbox=crowd.toolbox(),
        )
        events = [event async for event in chat.respond(request)]
        assert isinstance(events[-1], Completed), events[-1]
        assert sorted(event.output.text for event in events if isinstance(event, ToolFinished)) == [
            f"{number}:{2 * n}" for n in range(CALLS)
        ]
        said = "".join(event.text for event in events if isinstance(event, TextAdded))
        assert said == " ".join(f"{number}:{2 * n}" for n in range(CALLS)), "outputs keep the order of their calls"

    await asyncio.gather(*(turn(number) for number in range(TURNS)))
    assert crowd.runs == TURNS * CALLS
    assert CALLS < crowd.most <= EVERYWHERE
    assert (
        crowd.now
        == container.core().tools().running
        == container.admission().running
        == container.admission().waiting
        == 0
    )
    assert container.provider().open_streams == 0
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == tasks
    gc.collect()
    assert not crowd.boxes, "a turn's tools outlive it"
