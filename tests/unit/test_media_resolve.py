"""Attachments of a request made ready to leave: what is read from where, what is left out and why, what is stored."""

import asyncio
import base64
from collections.abc import AsyncGenerator

import pytest
from attrs import evolve

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.media.resolve import Resolved, needs_chat_completions, resolve
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes, FileStream
from openrouter_pipe.ports.items import (
    AudioPart,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImagePart,
    InputItem,
    MessageItem,
    Part,
    Role,
    TextPart,
    VideoPart,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes([0, 0, 0, 9]) * 2 + bytes(9)
JPEG = b"\xff\xd8\xff\xe0" + bytes(40)
PDF = b"%PDF-1.7 and so on"
MP3 = b"ID3\x04" + bytes(20)
OGG = b"OggS" + bytes(20)
MP4 = b"\0\0\0\x20ftypisom" + bytes(20)
ALL = frozenset({"text", "image", "file", "audio", "video"})
TEXT = TextPart("Look")
POLICY = MediaPolicy()


def data(content: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def user(*parts: Part) -> MessageItem:
    return MessageItem(Role.USER, (TEXT, *parts))


class Desk:
    """What a turn resolves with: an in-memory host and an in-memory web."""

    def __init__(self, policy: MediaPolicy = POLICY, inputs: frozenset[str] = ALL) -> None:
        self.store = MemoryFileStore()
        self.web = MemoryFetcher()
        self.policy = policy
        self.inputs = inputs

    async def put(self, content: bytes, mime: str = "application/octet-stream", name: str = "") -> str:
        return (await self.store.save(FileBytes(content, mime, name))).id

    async def all(self, *items: InputItem, keep: bool = True) -> Resolved:
        return await resolve(items, self.inputs, self.policy, self.store, self.web, keep=keep)

    async def one(self, part: Part, keep: bool = True) -> Part | str:
        """What becomes of one part of the present message: a part, or the user's notice."""
        result = await self.all(user(part), keep=keep)
        item = result.items[0]
        assert isinstance(item, MessageItem)
        assert item.parts[0] is TEXT
        assert len(item.parts) + len(result.warnings) == 2
        return result.warnings[0] if result.warnings else item.parts[1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# The host's own files


@pytest.mark.parametrize("spelling", ["/api/v1/files/{}/content", "/api/v1/files/{}", "{}"])
async def test_the_hosts_images_are_inlined(desk: Desk, spelling: str) -> None:
    file_id = await desk.put(PNG, "image/jpeg")
    assert await desk.one(ImagePart(spelling.format(file_id), "high")) == ImagePart(data(PNG), "high")
    assert desk.web.fetched == []


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (PDF, "a/b/report.pdf", FilePart("report.pdf", data_url=data(PDF, "application/pdf"))),
        (b"plain words", "notes.txt", FilePart("notes.txt", data_url=data(b"plain words", "text/plain"))),
        (PNG, "photo.pdf", ImagePart(data(PNG))),
        (OGG, "voice.ogg", AudioPart(base64.b64encode(OGG).decode(), "ogg")),
        (MP4, "clip.mp4", VideoPart(data(MP4, "video/mp4"))),
        (MP4, "voice.m4a", AudioPart(base64.b64encode(MP4).decode(), "m4a")),
        (PDF, "", FilePart("file.pdf", data_url=data(PDF, "application/pdf"))),
    ],
)
async def test_the_hosts_files_are_what_their_bytes_are(desk: Desk, content: bytes, name: str, expected: Part) -> None:
    file_id = await desk.put(content, "application/octet-stream", name)
    assert await desk.one(FilePart(None, host_id=file_id)) == expected


async def test_one_file_is_read_once(desk: Desk) -> None:
    url = f"/api/v1/files/{await desk.put(PNG)}/content"
    result = await desk.all(user(ImagePart(url)), MessageItem(Role.ASSISTANT, (TEXT,)), user(ImagePart(url)))
    assert [item.parts[1:] for item in result.items if item.role is Role.USER] == [(ImagePart(data(PNG)),)] * 2  # type: ignore[union-attr]
    assert len(desk.store.reads) == 1


async def test_a_file_named_beside_the_message_that_shows_it_is_sent_once(desk: Desk) -> None:
    file_id = await desk.put(PNG)
    result = await desk.all(user(ImagePart(data(PNG)), FilePart("a.png", host_id=file_id)))
    assert result == Resolved((user(ImagePart(data(PNG))),))


async def test_a_large_file_arrives_byte_for_byte(desk: Desk) -> None:
    content = PNG + bytes(range(256)) * 10_000 + b"odd"
    part = await desk.one(ImagePart(await desk.put(content)))
    assert part == ImagePart(data(content))
    assert await desk.one(AudioPart("", "x")) == "An audio recording was not sent: it is empty."


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000, 65536])
async def test_a_file_is_judged_by_its_head_however_little_comes_at_a_time(chunk: int) -> None:
    desk = Desk(MediaPolicy(chunk=chunk))
    for length in (0, 70, 1001):
        content = PNG + bytes(length)
        assert await desk.one(ImagePart(await desk.put(content))) == ImagePart(data(content))


# Refusals: that one attachment, with its reason


@pytest.mark.parametrize(
    ("part", "notice"),
    [
        (
            ImagePart("/api/v1/files/nobody/content"),
            "An image was not sent: the file does not exist or may not be read.",
        ),
        (
            FilePart("a.pdf", host_id="nobody"),
            'The file "a.pdf" was not sent: the file does not exist or may not be read.',
        ),
        (ImagePart("/etc/passwd"), "An image was not sent: its address is not one that can be read."),
        (ImagePart("file:///etc/passwd"), "An image was not sent: its address is not one that can be read."),
        (ImagePart("data:image/png;base64,"), "An image was not sent: it is empty."),
        (ImagePart("data:image/png;base64,%"), "An image was not sent: its content is not valid base64."),
        (ImagePart("data:image/png"), "An image was not sent: its data URL is malformed."),
        (ImagePart(data(b"hello")), "An image was not sent: it is not a PNG, JPEG, WebP or GIF image."),
        (ImagePart(data(b"BM....\0\0\0\0")), "An image was not sent: it is not a PNG, JPEG, WebP or GIF image."),
        (
            AudioPart(base64.b64encode(b"no sound").decode(), "mp3"),
            "An audio recording was not sent: it is not audio of",
        ),
        (VideoPart(data(b"no film", "video/mp4")), "A video was not sent: it is not an MP4"),
        (
            FilePart("x.pdf", data_url=data(b"no document", "application/pdf")),
            'The file "x.pdf" was not sent: it is not a PDF',
        ),
        (
            FilePart("x.png", data_url=data(b"no picture", "image/png")),
            'The file "x.png" was not sent: it is not a PNG',
        ),
        (FilePart("x.pdf"), 'The file "x.pdf" was not sent: it has no content'),
        (
            ImagePart("https://example.org/p/cat.png?token=secret"),
            'An image ("cat.png") was not sent: the address could',
        ),
        (FilePart("../../<b>x\n.pdf", url="https://example.org/"), 'The file "bx.pdf" was not sent: '),
    ],
)
async def test_what_cannot_be_sent_is_left_out_with_its_reason(desk: Desk, part: Part, notice: str) -> None:
    told = await desk.one(part)
    assert isinstance(told, str)
    assert told.startswith(notice)
    assert "secret" not in told
    whole = await desk.all(user(part, ImagePart(data(PNG))))
    assert whole.items == (user(ImagePart(data(PNG))),)


async def test_limits_hold_for_every_source() -> None:
    desk = Desk(MediaPolicy(max_inline=30, max_video=60, fetch=FetchPolicy(20)))
    long = PNG + bytes(80)
    for source in (ImagePart(data(long)), ImagePart(await desk.put(long)), FilePart("a.png", data_url=data(long))):
        assert "larger than" in str(await desk.one(source))
    desk.web.pages["https://example.org/a.png"] = FileBytes(PNG, "image/png")
    assert "larger than 20 bytes" in str(await desk.one(ImagePart("https://example.org/a.png")))
    film = MP4 + bytes(10)
    assert await desk.one(VideoPart(data(film, "video/mp4"))) == VideoPart(data(film, "video/mp4"))
    assert "larger than 30 bytes" in str(await desk.one(FilePart("a.txt", data_url=data(b"x" * 50, "text/plain"))))


async def test_an_image_that_unfolds_to_too_much_is_refused(desk: Desk) -> None:
    bomb = PNG[:16] + (65535).to_bytes(4, "big") * 2 + bytes(9)
    assert await desk.one(ImagePart(data(bomb))) == "An image was not sent: it has more than 256 million pixels."


async def test_what_the_model_does_not_read_is_told_whatever_it_was_called() -> None:
    desk = Desk(inputs=frozenset({"text"}))
    assert "does not read image input" in str(await desk.one(FilePart("a.pdf", data_url=data(PNG, "application/pdf"))))
    assert "does not read video input" in str(await desk.one(VideoPart("https://example.org/a.mp4")))
    desk.web.pages["https://example.org/a.png"] = FileBytes(PNG, "image/png")
    assert "does not read image input" in str(await desk.one(ImagePart("https://example.org/a.png")))
    assert desk.web.fetched == []
    pdf = FilePart("a.pdf", data_url=data(PDF, "application/pdf"))
    assert await desk.one(pdf) == pdf


async def test_failures_of_earlier_messages_are_silent_and_leave_their_mark(desk: Desk) -> None:
    old = MessageItem(Role.USER, (ImagePart("/api/v1/files/gone"),))
    result = await desk.all(old, MessageItem(Role.ASSISTANT, (TEXT,)), user())
    assert result.items[0] == MessageItem(Role.USER, (TextPart("[An attachment of this message is not shown.]"),))
    assert result.warnings == ()


async def test_files_that_turn_out_to_be_images_count_as_images() -> None:
    desk = Desk(MediaPolicy(max_images=2))
    files = [FilePart(None, host_id=await desk.put(PNG + bytes([n]))) for n in range(2)]
    result = await desk.all(user(ImagePart(data(PNG)), *files))
    assert len(result.items[0].parts) == 3  # type: ignore[union-attr]
    assert result.warnings == ("A file (2 of 2) was not sent: a request carries no more images.",)


async def test_every_image_of_a_request_counts_wherever_it_stands() -> None:
    desk = Desk(MediaPolicy(max_images=2))
    image = data(PNG)
    file = FilePart(None, host_id=await desk.put(PNG + b"!"))
    twice = await desk.all(user(ImagePart(image), ImagePart(image), file))
    assert twice.items == (user(ImagePart(image), ImagePart(image)),)
    assert twice.warnings == ("A file was not sent: a request carries no more images.",)

    system = MessageItem(Role.SYSTEM, (TEXT, ImagePart(image)))
    call = FunctionCallItem("c", "f", "{}")
    output = FunctionOutputItem("c", (TEXT, ImagePart(data(JPEG, "image/jpeg")), ImagePart(data(PNG + b"2"))))
    shown = await desk.all(system, user(), call, output)
    assert shown.items == (MessageItem(Role.SYSTEM, (TEXT,)), user(), call, output)
    assert shown.warnings == ()


async def test_each_that_is_left_out_can_be_told_from_the_others(desk: Desk) -> None:
    bad = ImagePart(data(b"BM....\0\0\0\0"))
    named = ImagePart("https://example.org/p/cat.png")
    empty = ImagePart("")
    result = await resolve(
        (user(bad, ImagePart(data(PNG)), named, empty, AudioPart("", "mp3"), ImagePart(bad.url)),),
        ALL,
        POLICY,
        desk.store,
        desk.web,
        keep=False,
        images_before=2,
    )
    assert len(result.warnings) == 4
    assert result.warnings[0] == "An image (3, 7 of 7) was not sent: it is not a PNG, JPEG, WebP or GIF image."
    assert result.warnings[1].startswith('An image ("cat.png") was not sent: ')
    assert result.warnings[2].startswith("An image (6 of 7) was not sent: ")
    assert result.warnings[3].startswith("An audio recording was not sent: ")


async def test_a_hanging_host_ends_with_the_deadline() -> None:
    class Hanging(MemoryFileStore):
        async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
            await asyncio.Event().wait()
            raise AssertionError

    result = await resolve(
        (user(*(ImagePart(f"/api/v1/files/{n}") for n in range(5)), ImagePart(data(PNG))),),
        ALL,
        MediaPolicy(deadline=0.05, max_images=6),
        Hanging(),
        MemoryFetcher(),
        keep=False,
    )
    assert set(result.warnings) == {"An image (1, 2, 3, 4, 5, 6 of 6) was not sent: it took too long to read."}


async def test_a_file_that_breaks_off_is_closed_and_left_out() -> None:
    closed = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield PNG
            raise FileAccessError("the host did not deliver the file")
        finally:
            closed.append(True)

    class Broken(MemoryFileStore):
        async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
            return FileStream("a", "image/png", chunks())

    result = await resolve((user(ImagePart("/api/v1/files/a")),), ALL, POLICY, Broken(), MemoryFetcher(), keep=False)
    assert result.warnings == ("An image was not sent: the host did not deliver the file.",)
    assert closed == [True]


# The web


async def test_remote_images_are_fetched_stored_once_and_inlined(desk: Desk) -> None:
    url = "https://example.org/cat"
    desk.web.pages[url] = FileBytes(PNG, "text/html", "cat")
    for _ in range(3):
        assert await desk.one(ImagePart(url)) == ImagePart(data(PNG))
    assert desk.web.fetched == [url]
    (stored,) = desk.store.files.values()
    assert (stored.data, stored.content_type, stored.name) == (PNG, "image/png", "cat")


async def test_nothing_is_stored_where_nothing_may_be_left_behind(desk: Desk) -> None:
    desk.web.pages["https://example.org/a"] = FileBytes(PNG, "image/png")
    for part in (ImagePart("https://example.org/a"), ImagePart(data(PNG)), FilePart("a", data_url=data(PDF))):
        assert not isinstance(await desk.one(part, keep=False), str)
    assert desk.store.files == {}


async def test_a_stored_copy_that_is_gone_is_fetched_again(desk: Desk) -> None:
    url = "https://example.org/a"
    desk.web.pages[url] = FileBytes(PNG, "image/png")
    await desk.one(ImagePart(url))
    desk.store.files.clear()
    assert await desk.one(ImagePart(url)) == ImagePart(data(PNG))
    assert desk.web.fetched == [url, url]


async def test_the_hosts_own_limit_counts_for_downloads() -> None:
    desk = Desk()
    desk.store = MemoryFileStore(most_bytes=10)
    desk.web.pages["https://example.org/a"] = FileBytes(PNG, "image/png")
    assert "larger than 10 bytes" in str(await desk.one(ImagePart("https://example.org/a")))
    assert await desk.one(ImagePart(data(PNG))) == ImagePart(data(PNG))  # not stored, but sent


@pytest.mark.parametrize("save", [True, False])
async def test_file_addresses_are_fetched_or_passed_on_as_the_operator_wants(save: bool) -> None:
    desk = Desk(MediaPolicy(save_remote_files=save))
    url = "https://example.org/a.pdf"
    desk.web.pages[url] = FileBytes(PDF, "application/pdf", "a.pdf")
    part = FilePart(None, url=url)
    expected = FilePart("a.pdf", data_url=data(PDF, "application/pdf")) if save else part
    assert await desk.one(part) == expected
    assert len(desk.store.files) == save
    assert len(desk.web.fetched) == save


@pytest.mark.parametrize("save", [True, False])
async def test_file_data_is_stored_as_the_operator_wants(save: bool) -> None:
    desk = Desk(MediaPolicy(save_file_data=save))
    for _ in range(2):
        bare = FilePart("a.pdf", data_url=base64.b64encode(PDF).decode())
        assert await desk.one(bare) == FilePart("a.pdf", data_url=data(PDF, "application/pdf"))
    assert [file.data for file in desk.store.files.values()] == [PDF] * save


async def test_only_the_present_message_is_stored(desk: Desk) -> None:
    await desk.all(user(ImagePart(data(PNG))), user(ImagePart(data(JPEG))))
    assert [file.data for file in desk.store.files.values()] == [JPEG]


@pytest.mark.parametrize(
    ("url", "passed"),
    [
        ("https://www.youtube.com/watch?v=abc", True),
        ("https://youtu.be/abc", True),
        ("https://example.org/a.mp4", True),
        ("https://127.0.0.1/a.mp4", False),
        ("https://user:word@example.org/a.mp4", False),
        ("http://example.org/a.mp4", False),
        ("ftp://example.org/a.mp4", False),
    ],
)
async def test_video_addresses_pass_if_they_are_public(desk: Desk, url: str, passed: bool) -> None:
    result = await desk.one(VideoPart(url))
    assert (result == VideoPart(url)) is passed
    assert isinstance(result, str) is not passed
    assert desk.web.fetched == []


# Types that lie, formats that stay


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ImagePart(data(JPEG, "image/png"), "low"), ImagePart(data(JPEG, "image/jpeg"), "low")),
        (ImagePart(data(PDF, "image/png")), FilePart("file.pdf", data_url=data(PDF, "application/pdf"))),
        (AudioPart(data(OGG, "audio/mpeg"), "mp3"), AudioPart(base64.b64encode(OGG).decode(), "ogg")),
        (AudioPart(base64.b64encode(MP4).decode(), "mp3"), AudioPart(base64.b64encode(MP4).decode(), "m4a")),
        (AudioPart(base64.b64encode(b"raw").decode(), "pcm16"), AudioPart(base64.b64encode(b"raw").decode(), "pcm16")),
        (VideoPart(data(MP4, "video/quicktime")), VideoPart(data(MP4, "video/mp4"))),
        (FilePart(None, data_url=data(MP3, "application/pdf")), AudioPart(base64.b64encode(MP3).decode(), "mp3")),
    ],
)
async def test_types_are_corrected_by_the_bytes(desk: Desk, part: Part, expected: Part) -> None:
    assert await desk.one(part) == expected


def test_only_some_audio_needs_the_other_endpoint() -> None:
    assert needs_chat_completions((user(AudioPart("x", "ogg")),))
    assert not needs_chat_completions((user(AudioPart("x", "wav"), AudioPart("x", "mp3")),))


async def test_outputs_of_tools_are_made_ready_too(desk: Desk) -> None:
    url = f"/api/v1/files/{await desk.put(PNG)}/content"
    output = FunctionOutputItem("c", (TEXT, ImagePart(url)))
    result = await desk.all(output)
    assert result.items == (evolve(output, output=(TEXT, ImagePart(data(PNG)))),)
    plain = (FunctionOutputItem("c", "text"), user())
    assert (await desk.all(*plain)).items == plain
