"""Which attachments of a request are the same: as `==` says, however large they are."""

import asyncio
import itertools

import pytest

from openrouter_pipe.domain.media.equals import Attachment, grouped
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, VideoPart

LONG = "data:image/png;base64," + "A" * 100_000


def changed(at: int) -> str:
    return LONG[:at] + "B" + LONG[at + 1 :]


def again(text: str) -> str:
    """An equal string that is another object."""
    return "".join([text[:7], text[7:]])


SHORT: list[Attachment] = [
    ImagePart("a"),
    ImagePart("a"),
    ImagePart("a", "low"),
    VideoPart("a"),
    AudioPart("a", "wav"),
    AudioPart("a", "mp3"),
    FilePart("a"),
    FilePart(data_url="a"),
    FilePart(host_id="a"),
    FilePart(host_id="a"),
    FilePart(),
]
LARGE: list[Attachment] = [
    ImagePart(LONG),
    ImagePart(LONG),
    ImagePart(again(LONG)),
    ImagePart(LONG, "low"),
    ImagePart(again(LONG), "low"),
    VideoPart(LONG),
    FilePart(data_url=LONG),
    FilePart(url=LONG),
    FilePart(data_url=again(LONG)),
    FilePart("a", data_url=again(LONG)),
    FilePart(LONG, data_url=LONG),
    FilePart(again(LONG), data_url=changed(70_000)),
    AudioPart(LONG, "wav"),
    AudioPart(LONG, again(LONG)),
    *(ImagePart(changed(at)) for at in (30, 1000, 33_000, 66_000, 99_000, 99_999, 100_010)),
    ImagePart(again(changed(33_000))),
    ImagePart(LONG + "A"),
    ImagePart(LONG.replace("A", "\ud800")),
    ImagePart(LONG.replace("A", "ä")),
    ImagePart(LONG.replace("A", "ä", 5000)),
]


@pytest.mark.parametrize("parts", [SHORT, LARGE, LARGE[::-1], [*SHORT, *LARGE], []])
async def test_equal_parts_are_one_and_others_are_not(parts: list[Attachment]) -> None:
    groups = await grouped(parts)
    for (one, first), (other, second) in itertools.combinations(zip(parts, groups, strict=True), 2):
        assert (first == second) == (one == other), (repr(one), repr(other))


async def test_many_that_look_alike_take_time_in_proportion() -> None:
    middle = len(LONG) // 3
    parts: list[Attachment] = [ImagePart(f"{LONG[:middle]}{at:05}{LONG[middle:]}") for at in range(400)]
    async with asyncio.timeout(5):
        assert len(set(await grouped(parts))) == 400
