"""Whatever the pieces, the forms and the break: every word once, in order, and an orderly end."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock
from openrouter_pipe.domain.streaming.reducer import TurnReducer
from openrouter_pipe.ports.chat import ItemClosed, ItemOpened, ReasoningAdded, TextAdded
from openrouter_pipe.ports.items import ItemKind, MessageItem, ReasoningItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ReasoningDelta,
    ReasoningSnapshot,
    ResponseFinished,
    TextDelta,
    TextSnapshot,
)

words = st.text(alphabet="ab \n\U0001f600é", min_size=1, max_size=12)


def pieces(text: str, cuts: list[int]) -> list[str]:
    """``text`` cut anywhere, also inside a surrogate pair."""
    raw = text.encode("utf-16-le")
    places = sorted({cut % (len(raw) // 2) for cut in cuts} | {0, len(raw) // 2})
    parts = [raw[2 * a : 2 * b] for a, b in itertools.pairwise(places)]
    return [part.decode("utf-16-le", "surrogatepass") for part in parts]


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[list, dict[int, str]]:
    """Provider events of overlapping items, with any of the later forms left out, and the text of each."""
    texts: dict[int, str] = {}
    streams: list[list] = []
    output: list = []
    for index in range(draw(st.integers(1, 3))):
        text = texts[index] = draw(words)
        cuts = draw(st.lists(st.integers(0, 40), max_size=4))
        if draw(st.booleans()):
            item: object = MessageItem(Role.ASSISTANT, (TextPart(text),), f"m{index}")
            kind, known = ItemKind.MESSAGE, MessageItem(Role.ASSISTANT, (), f"m{index}")
            deltas: list = [TextDelta(index, 0, piece) for piece in pieces(text, cuts)]
            snapshot: object = TextSnapshot(index, 0, text)
        else:
            item = ReasoningItem(f"r{index}", (), (text,))
            kind, known = ItemKind.REASONING, ReasoningItem(f"r{index}")
            deltas = [ReasoningDelta(index, 0, piece, summary=False) for piece in pieces(text, cuts)]
            snapshot = ReasoningSnapshot(index, 0, text, summary=False)
        kept = draw(st.integers(0, len(deltas)))
        later = [form for form in (snapshot, ItemFinished(index, item)) if draw(st.booleans())]
        streams.append([*([ItemStarted(index, kind, known)] if draw(st.booleans()) else []), *deltas[:kept], *later])
        output.append(item)
    events: list = []
    while any(streams):
        stream = draw(st.sampled_from([stream for stream in streams if stream]))
        events.append(stream.pop(0))
    events.append(ResponseFinished(FinishStatus.COMPLETED, output=tuple(output)))
    return events, texts


def play(events: list) -> tuple[TurnReducer, list]:
    reducer = TurnReducer(ManualClock(), CountingIds())
    reducer.begin_round()
    return reducer, [out for event in events for out in reducer.feed(event)]


def shown(out: list) -> dict[int, str]:
    texts: dict[int, str] = {}
    for event in out:
        if isinstance(event, TextAdded | ReasoningAdded):
            texts[event.index] = texts.get(event.index, "") + event.text
    return texts


@given(transcripts())
@settings(max_examples=300, deadline=None)
def test_no_text_is_lost_repeated_or_reordered(transcript: tuple[list, dict[int, str]]) -> None:
    events, texts = transcript
    reducer, out = play(events)
    assert sorted(shown(out).values()) == sorted(texts.values())
    assert len(reducer.items()) == len(texts)
    opened = [event.index for event in out if isinstance(event, ItemOpened)]
    assert opened == sorted(opened) == list(range(len(texts)))
    assert sorted(event.index for event in out if isinstance(event, ItemClosed)) == opened


@given(transcripts(), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_any_prefix_keeps_the_text_seen_and_closes_what_is_open(
    transcript: tuple[list, dict[int, str]], length: int
) -> None:
    events, texts = transcript
    prefix = events[: min(length, len(events) - 1)]
    reducer, out = play(prefix)
    before = shown(out)
    out.extend(reducer.abort())
    after = shown(out)
    for index, text in after.items():
        assert text.removesuffix("\ufffd") == before.get(index, "")
        assert any(whole.startswith(text.removesuffix("\ufffd")) for whole in texts.values())
    opened = [event.index for event in out if isinstance(event, ItemOpened)]
    assert sorted(event.index for event in out if isinstance(event, ItemClosed)) == opened
    assert list(reducer.abort()) == []
    "".join(after.values()).encode("utf-8")
