"""Attachments as hosts and programs send them: blocks of every shape, and files named beside the messages."""

import pytest

from openrouter_pipe.adapters.openwebui.attached import attached, with_attached
from openrouter_pipe.adapters.openwebui.content import read_parts
from openrouter_pipe.adapters.openwebui.request import HostCall, read_request
from openrouter_pipe.domain.history.images import input_kind
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, Part, Role, TextPart, VideoPart
from openrouter_pipe.ports.settings import Settings

SOUND = "data:audio/x;base64,QQ=="
DOCUMENT = "data:application/pdf;base64,QQ=="
PATH = "/api/v1/files/f1/content"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "image_url", "image_url": {"url": PATH}}, ImagePart(PATH)),
        ({"type": "image", "url": "https://example.org/a"}, ImagePart("https://example.org/a")),
        ({"type": "image", "image": PATH, "detail": "low"}, ImagePart(PATH, "low")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AA=="}},
            ImagePart("data:image/gif;base64,AA=="),
        ),
        ({"type": "input_image", "file_id": "f1"}, ImagePart("f1")),
        ({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "m4a"}}, AudioPart("QQ==", "m4a")),
        ({"type": "audio", "audio": "QQ=="}, AudioPart("QQ==", "")),
        ({"type": "audio", "audio": "data:audio/ogg;base64,QQ=="}, AudioPart("data:audio/ogg;base64,QQ==", "")),
        ({"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}, AudioPart(SOUND, "wav")),
        ({"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}}, AudioPart("https://example.org/a.mp3", "")),
        ({"type": "audio", "audio": {"url": PATH, "name": "a.mp3"}}, FilePart("a.mp3", url=PATH)),
        ({"type": "audio", "audio": PATH}, FilePart(None, url=PATH)),
        ({"type": "audio", "audio": {"file_id": "f1"}}, FilePart(None, host_id="f1")),
        ({"type": "video", "video": {"url": PATH}}, VideoPart(PATH)),
        ({"type": "video_url", "video_url": "https://youtu.be/x"}, VideoPart("https://youtu.be/x")),
        ({"type": "input_video", "video_url": PATH}, VideoPart(PATH)),
        ({"type": "video", "video": {"data": "QQ==", "mime_type": "video/webm"}}, VideoPart("data:video/webm;base64,QQ==")),
        ({"type": "file", "file": PATH, "name": "a.pdf"}, FilePart("a.pdf", url=PATH)),
        ({"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}}, FilePart("a.pdf", host_id="f1")),
        ({"type": "input_file", "file_url": {"url": PATH}}, FilePart(None, url=PATH)),
        ({"type": "input_file", "file_url": DOCUMENT}, FilePart(None, data_url=DOCUMENT)),
        ({"type": "file", "file": {"file_data": "https://example.org/a.pdf"}}, FilePart(None, url="https://example.org/a.pdf")),
        ({"type": "file", "file": {"file_data": "QQ==", "filename": "a.pdf"}}, FilePart("a.pdf", data_url="QQ==")),
        ({"type": "file", "file": {"file_data": "data:image/png;base64,QQ=="}}, ImagePart("data:image/png;base64,QQ==")),
        ({"type": "file", "file": {"file_data": "data:audio/wav;base64,QQ=="}}, AudioPart("data:audio/wav;base64,QQ==", "")),
        ({"type": "file", "file": {"file_data": "data:video/mp4;base64,QQ=="}}, VideoPart("data:video/mp4;base64,QQ==")),
    ],
)  # fmt: skip
def test_blocks_of_every_shape_are_read(block: object, part: Part) -> None:
    assert read_parts([block]) == (part,)


@pytest.mark.parametrize(
    "kind", ["image", "image_url", "audio", "input_audio", "video", "video_url", "file", "input_file"]
)
@pytest.mark.parametrize("content", [None, 5, [], {}, {"url": 5}, {"url": None}, [{"url": "x"}], {"data": None}])
def test_blocks_without_content_are_empty_attachments(kind: str, content: object) -> None:
    """As they came, the provider would refuse the chat for them, now and in every later turn."""
    (part,) = read_parts([{"type": kind, kind: content}])
    assert part in {ImagePart(""), AudioPart("", ""), VideoPart(""), FilePart()}
    assert type(part).__name__.removesuffix("Part").lower() == kind.removeprefix("input_").removesuffix("_url")


# Files beside the messages


def entry(file_id: str, mime: str, name: str = "", **more: object) -> dict[str, object]:
    return {"type": "file", "id": file_id, "name": name or file_id, "content_type": mime, **more}


def metadata(*entries: object, file_context: bool | None = None) -> dict[str, object]:
    capabilities = {} if file_context is None else {"file_context": file_context}
    return {"files": list(entries), "model": {"info": {"meta": {"capabilities": capabilities}}}}


def test_what_the_host_never_reads_is_attached() -> None:
    files = metadata(
        entry("a", "image/png", "a.png"),
        entry("b", "application/pdf"),
        entry("c", "audio/mpeg"),
        entry("d", "video/mp4"),
    )
    assert attached(files) == (FilePart("a.png", host_id="a"), FilePart("d", host_id="d"))


def test_everything_is_attached_where_the_host_reads_nothing() -> None:
    files = metadata(entry("a", "application/pdf", "a.pdf"), entry("b", ""), file_context=False)
    assert attached(files) == (FilePart("a.pdf", host_id="a"), FilePart("b", host_id="b"))


def test_the_hosts_own_record_of_a_file_is_read() -> None:
    record = {"id": "a", "filename": "raw.mp4", "meta": {"name": "clip.mp4", "content_type": "video/mp4"}}
    assert attached(metadata({"type": "file", "file": record})) == (FilePart("clip.mp4", host_id="a"),)


@pytest.mark.parametrize(
    ("file", "is_sent"),
    [
        ({"data": {"status": "failed", "error": "no words"}}, True),  # 0.12.4
        ({"data": {"status": "pending"}, "error": "no words"}, True),  # 0.6.28, whose page keeps the early record
        ({"data": {"status": "failed", "content": "Text."}}, False),
        ({"data": {"status": "completed", "content": "Text."}}, False),
        ({"data": {"status": "completed"}}, False),
        ({"data": {"status": "pending"}, "error": ""}, False),
        ({"data": "x", "error": 5}, False),
    ],
)
def test_what_the_host_failed_to_read_is_attached(file: dict[str, object], is_sent: bool) -> None:
    """Its text is nowhere then: without the file the model would know nothing of it, and the user nothing of that."""
    files = metadata(entry("a", "audio/wav", "voice.wav", file={"id": "a", **file}))
    assert attached(files) == ((FilePart("voice.wav", host_id="a"),) if is_sent else ())


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"files": None},
        {"files": "x"},
        {"files": [None, 5, "x", {}, {"type": "file"}, {"type": "file", "id": 5}]},
        {"files": [{"type": ["file"], "id": "a"}, {"type": {"file": 1}, "id": "a"}]},
        {"files": [{"type": "collection", "id": "a"}, {"type": "note", "id": "a"}, {"type": "web_search", "id": "a"}]},
        {"files": [entry("a", "video/mp4")], "model": {"info": {"meta": None}}, "x": 1} | {"files": []},
    ],
)
def test_what_is_no_file_is_not_attached(value: dict[str, object]) -> None:
    assert attached(value) == ()


def test_files_stand_behind_the_latest_user_message_and_once() -> None:
    messages = (
        ChatMessage(Role.USER, (TextPart("one"),)),
        ChatMessage(Role.USER, (TextPart("two"), FilePart(None, host_id="a"))),
        ChatMessage(Role.ASSISTANT, (TextPart("…"),)),
    )
    files = metadata(entry("a", "video/mp4"), entry("b", "video/mp4"), entry("b", "video/mp4"))
    found = with_attached(messages, files)
    assert found[1].parts == (TextPart("two"), FilePart(None, host_id="a"), FilePart("b", host_id="b"))
    assert (found[0], found[2]) == (messages[0], messages[2])
    assert with_attached((messages[2],), files) == (messages[2],)


def test_tasks_get_no_files() -> None:
    body = {"messages": [{"role": "user", "content": "Title?"}]}
    files = metadata(entry("a", "video/mp4"))
    for task, count in ((None, 2), ("title_generation", 1)):
        request = read_request(HostCall(body, metadata=files, task=task), Settings(), "r")
        assert len(request.messages[0].parts) == count


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (FilePart("a.pdf", host_id="f"), "text"),
        (FilePart(None, data_url=DOCUMENT), "text"),
        (FilePart("a.docx", host_id="f"), "file"),
        (FilePart("a.mp4", host_id="f"), "video"),
        (FilePart("a.png", url="https://example.org"), "image"),
        (FilePart(None, url="https://example.org/a.mp3?x=1"), "audio"),
        (FilePart("a", host_id="f"), "text"),
        (FilePart(None, host_id="f"), "text"),
        (FilePart("a.pdf", data_url="data:text/csv,a"), "file"),
    ],
)
def test_a_file_is_kept_for_a_model_by_what_it_says_it_is(part: Part, kind: str) -> None:
    assert input_kind(part) == kind
