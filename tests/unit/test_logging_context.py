"""The pipe's logging: context, level, redaction, and nothing changed in the host."""

import asyncio
import logging

import pytest

from openrouter_pipe.adapters.observability.console import LONGEST_LINE, PipeLogging
from openrouter_pipe.adapters.observability.context import LogContext, Scope, bound, current
from openrouter_pipe.adapters.observability.recorder import TurnRecorder

NAME = "openrouter_pipe_under_test"
CONTEXT = LogContext("r1", "u1", "s1", "c1", "m1")


class Host(logging.Handler):
    """What a host's own handler sees."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def host():
    handler, root = Host(), logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogRecordFactory())
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    assert (root.handlers, root.level, logging.getLogRecordFactory()) == before


@pytest.fixture
def pipe():
    pipe = PipeLogging(NAME)
    yield pipe
    pipe.close()
    logger = logging.getLogger(NAME)
    ours = [
        handler for handler in logger.handlers if (handler.name or "").startswith("openrouter-pipe")
    ]  # pytest adds some
    assert (ours, logger.propagate, logger.level) == ([], True, logging.NOTSET)


def redact(text: str) -> str:
    return text.replace("hunter2", "[redacted]")


log = logging.getLogger(f"{NAME}.domain.turn")


def test_lines_carry_the_turn_and_reach_the_host_once(host, pipe):
    pipe.configure("INFO", redact)
    pipe.configure("INFO", redact)
    with bound(Scope(CONTEXT)):
        log.info("hello %s", "hunter2")
    log.debug("not shown")
    log.info("outside")
    assert host.lines == [
        "hello [redacted] [request_id=r1 user_id=u1 session_id=s1 chat_id=c1 message_id=m1]",
        "outside",
    ]
    assert (host.records[0].request_id, host.records[0].name, host.records[0].funcName) == (
        "r1",
        log.name,
        "test_lines_carry_the_turn_and_reach_the_host_once",
    )


def test_message_arguments_traceback_and_extra_are_redacted(host, pipe):
    pipe.configure("INFO", redact)
    try:
        raise ValueError("hunter2")  # noqa: TRY301
    except ValueError:
        log.exception("failed", extra={"password": "hunter2"})
    record = host.records[0]
    assert "ValueError: [redacted]" in record.getMessage()
    assert record.exc_info is None
    assert "hunter2" not in repr(vars(record))


def test_a_line_cannot_be_forged(host, pipe):
    pipe.configure("INFO", redact)
    with bound(Scope(LogContext(request_id="a\nb"))):
        log.info("a\nERROR root: forged \x1b[31m\r")
    assert host.lines == ["a\\nERROR root: forged \\x1b[31m\\r [request_id=a?b]"]


def test_long_messages_are_cut_and_no_half_secret_is_left(host, pipe):
    pipe.configure("INFO", redact)
    log.info("%s", "x" * (LONGEST_LINE - 3) + "hunter2")
    assert len(host.lines[0]) < LONGEST_LINE
    assert "hun" not in host.lines[0]


def test_level_changes_at_the_next_turn_and_belongs_to_the_pipe(host, pipe):
    other = PipeLogging(NAME)
    pipe.configure("ERROR", redact)
    other.configure("DEBUG", redact)
    with bound(Scope(CONTEXT, logging.ERROR)):
        log.info("of the quiet pipe")
    with bound(Scope(CONTEXT, logging.DEBUG)):
        log.debug("of the loud pipe")
    other.close()
    pipe.configure("WARNING", redact)
    log.info("not shown")
    log.warning("shown")
    assert [line.split(" [")[0] for line in host.lines] == ["of the loud pipe", "shown"]


def test_the_record_of_a_turn_has_every_level_and_keeps_the_newest(host, pipe):
    pipe.configure("ERROR", redact, capture=True)
    recorder = TurnRecorder(3)
    with bound(Scope(CONTEXT, logging.ERROR, recorder)):
        for number in range(5):
            log.debug("line %d hunter2", number, extra={"event_type": "stream"})
    entries = recorder.entries()
    assert [entry.message for entry in entries] == [f"line {number} [redacted]" for number in (2, 3, 4)]
    assert (entries[0].level, entries[0].chat_id, entries[0].event_type, recorder.dropped) == (
        "DEBUG",
        "c1",
        "stream",
        2,
    )
    assert host.lines == []


async def test_concurrent_turns_keep_apart(host, pipe):
    pipe.configure("INFO", redact)

    async def turn(name: str) -> None:
        with bound(Scope(LogContext(request_id=name))):
            for _ in range(3):
                await asyncio.sleep(0)
                log.info("by %s", name)

    await asyncio.gather(turn("a"), turn("b"))
    assert sorted(host.lines) == ["by a [request_id=a]"] * 3 + ["by b [request_id=b]"] * 3


async def test_a_generator_closed_elsewhere_leaves_no_context():
    async def turn():
        with bound(Scope(CONTEXT)):
            yield 1

    stream = turn()
    await asyncio.create_task(anext(stream))
    await stream.aclose()
    assert current().context == LogContext()


def test_a_broken_record_or_redaction_never_raises(host, pipe):
    pipe.configure("INFO", redact)
    log.info("%d", "not a number")
    pipe.configure("INFO", lambda text: text[10**9])
    log.info("x")
    assert ["could not be written" in line for line in host.lines] == [True, True]
    assert "not a number" not in "".join(host.lines)


def test_handlers_of_the_host_that_fail_do_not_end_a_turn(pipe):
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no disk")

    failing, root = Failing(), logging.getLogger()
    root.addHandler(failing)
    try:
        pipe.configure("INFO", redact)
        log.info("x")
    finally:
        root.removeHandler(failing)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("hunter2")

    __repr__ = __str__


def test_a_record_that_cannot_be_made_leaves_no_argument_on_the_error_stream(host, pipe, capsys):
    """The standard library prints message, arguments and traceback of such a record, unredacted."""
    pipe.configure("INFO", redact)
    with bound(Scope(CONTEXT)):
        log.warning("not a number: %d", "hunter2")
        log.warning("%s", Unprintable())
        log.warning("too many", "hunter2")  # noqa: PLE1205 - that is what is tried
    captured = capsys.readouterr()
    assert "hunter2" not in captured.err + captured.out
    assert "hunter2" not in "".join(host.lines)
    assert sum("could not be written" in line for line in host.lines) == 3
    assert all("test_logging_context" in line and "request_id=r1" in line for line in host.lines)
