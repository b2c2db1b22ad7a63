"""Which images and other media of the history one request carries."""

from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, MessageItem, Part, Role, TextPart, VideoPart

SEEING = frozenset({"text", "image"})


def image(name: str) -> ImagePart:
    return ImagePart(f"data:image/png;base64,{name}")


def user(text: str, *parts: Part) -> ChatMessage:
    return ChatMessage(Role.USER, ((TextPart(text),) if text else ()) + parts)


def assistant(text: str) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, (TextPart(text),))


def urls(messages: list[ChatMessage], inputs: frozenset[str] = SEEING, **policy: object) -> list[list[str]]:
    history = build(messages, {}, inputs, HistoryPolicy(**policy))
    return [
        [part.url.rpartition(",")[2] for part in item.parts if isinstance(part, ImagePart)]
        for item in history.items
        if isinstance(item, MessageItem)
    ]


def test_images_of_earlier_turns_stay_newest_first_within_the_limit() -> None:
    messages = [
        user("1", image("AA"), image("BB")),
        assistant("ok"),
        user("2", image("CC")),
        assistant("ok"),
        user("3"),
    ]
    assert urls(messages) == [["AA", "BB"], [], ["CC"], [], []]
    assert urls(messages, max_input_images=2) == [["BB"], [], ["CC"], [], []]


def test_a_message_that_was_nothing_but_an_old_image_says_so() -> None:
    messages = [user("", image("AA")), assistant("ok"), user("2", image("BB"))]
    history = build(messages, {}, SEEING, HistoryPolicy(max_input_images=1))
    assert isinstance(history.items[0], MessageItem)
    assert isinstance(history.items[0].parts[0], TextPart)
    assert history.warnings == ()


def test_too_many_images_in_one_message_are_told() -> None:
    history = build([user("x", image("AA"), image("BB"))], {}, SEEING, HistoryPolicy(max_input_images=1))
    assert history.items[0].parts == (TextPart("x"), image("BB"))  # type: ignore[union-attr]
    assert len(history.warnings) == 1
    assert "first 1 of 2" in history.warnings[0]
    assert history.images_before == 1


def test_the_latest_images_of_an_assistant_stand_in() -> None:
    messages = [
        user("draw"),
        assistant("Old: ![one](data:image/png;base64,AA)"),
        user("again"),
        assistant("New: ![two](data:image/png;base64,BB) and ![three](/api/v1/files/x/content)"),
        user("brighter"),
    ]
    found = urls(messages)
    assert found[-1] == ["BB", "/api/v1/files/x/content"]
    assert found[:-1] == [[], [], [], []]
    assert urls(messages, image_input_selection="user_turn_only")[-1] == []
    assert urls([*messages[:-1], user("this one", image("CC"))])[-1] == ["CC"]


def test_embedded_images_do_not_travel_as_text() -> None:
    history = build([assistant("See ![x](data:image/png;base64,AAAA) here")], {}, SEEING, HistoryPolicy())
    assert history.items[0].parts == (TextPart("See  here"),)  # type: ignore[union-attr]
    only = build([user("draw"), assistant("![x](data:image/png;base64,AAAA)"), user("y")], {}, SEEING, HistoryPolicy())
    assert [item.parts[0] for item in only.items] == [TextPart("draw"), TextPart("[image]"), TextPart("y")]  # type: ignore[union-attr]


def test_links_and_code_are_not_images() -> None:
    text = "![x](https://example.org/a.png)\n```\n![y](data:image/png;base64,AA)\n```"
    assert urls([assistant(text), user("x")]) == [[], []]
    history = build([assistant(text)], {}, SEEING, HistoryPolicy())
    assert history.items[0].parts == (TextPart(text),)  # type: ignore[union-attr]


def test_what_the_model_cannot_read_is_left_out_and_said() -> None:
    parts = (image("AA"), AudioPart("x", "mp3"), VideoPart("https://v"), FilePart("a.docx"), FilePart("a.PDF"))
    history = build([user("x", *parts)], {}, frozenset({"text"}), HistoryPolicy())
    assert history.items[0].parts == (TextPart("x"), FilePart("a.PDF"))  # type: ignore[union-attr]
    assert len(history.warnings) == 4
    assert history.warnings[3] == '1 file of your message ("a.docx") not sent: the model does not read file input.'
    pictures = (image("AA"), ImagePart("https://x.test/p/cat.png?t=1"), ImagePart("https://x.test/dog.png"))
    told = build([user("x", *pictures)], {}, frozenset({"text"}), HistoryPolicy()).warnings
    assert told == ('3 images of your message ("cat.png", "dog.png") not sent: the model does not read image input.',)
    everything = frozenset({"text", "image", "audio", "video", "file"})
    assert build([user("x", *parts)], {}, everything, HistoryPolicy()).items[0].parts[1:] == parts  # type: ignore[union-attr]


def test_old_attachments_that_the_model_cannot_read_are_left_out_silently() -> None:
    history = build([user("x", AudioPart("x", "mp3")), assistant("y"), user("z")], {}, SEEING, HistoryPolicy())
    assert history.items[0].parts == (TextPart("x"),)  # type: ignore[union-attr]
    assert history.warnings == ()
