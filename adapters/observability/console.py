"""The pipe's logger: level, context, redaction, and the way to the host's handlers.

The logger of our package gets one handler and stops propagating; the handler passes a finished copy of every record that
is loud enough to the handlers further up, those of the host. So the host decides where and in which format lines appear,
its own records are untouched, and nothing of ours reaches it unredacted: message, arguments and traceback are one
redacted text before any other handler sees them. Work per record is bounded (long messages are cut), nothing waits on
anything but the host's own handlers, and no thread is started.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from openrouter_pipe.adapters.observability.context import LogContext, Scope, current
from openrouter_pipe.adapters.observability.recorder import LogEntry

LONGEST_LINE: Final = 16_384
"""Characters of a message that are read; what follows is dropped."""
_DOUBTFUL_END: Final = 1_024
_HANDLER_NAME: Final = "openrouter-pipe"
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMATTER: Final = logging.Formatter()
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))

Redact = Callable[[str], str]


class PipeLogging:
    """One pipe's share in the logger called ``name``.

    Two pipes of one version in one process share that logger and its handler; each has its level, and inside a turn the
    turn's level counts.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def configure(self, level: str, redact: Redact, *, capture: bool = False) -> None:
        """Set or change level and redaction; cheap, called at the start of every turn.

        ``level`` is DEBUG, INFO, WARNING, ERROR or CRITICAL. ``capture`` lets records of every level be made, for the
        in-memory record of turns, whatever the console shows.
        """
        handler = _handler_of(self._logger) or _PipeHandler(self._logger)
        handler.share(self, logging.getLevelNamesMapping()[level], redact, capture)

    def close(self) -> None:
        """Give the share back; with the last one the logger is as it was before."""
        handler = _handler_of(self._logger)
        if handler is not None:
            handler.leave(self)


def _handler_of(logger: logging.Logger) -> _PipeHandler | None:
    return next((handler for handler in logger.handlers if isinstance(handler, _PipeHandler)), None)


class _PipeHandler(logging.Handler):
    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.set_name(f"{_HANDLER_NAME}:{logger.name}")
        self._logger = logger
        self._before = (logger.level, logger.propagate)
        self._shares: dict[object, tuple[int, Redact, bool]] = {}
        logger.addHandler(self)
        logger.propagate = False

    def share(self, owner: object, level: int, redact: Redact, capture: bool) -> None:
        self._shares[owner] = (level, redact, capture)
        self._set_logger_level()

    def leave(self, owner: object) -> None:
        self._shares.pop(owner, None)
        if self._shares:
            self._set_logger_level()
            return
        self._logger.removeHandler(self)
        level, self._logger.propagate = self._before
        self._logger.setLevel(level)
        self.close()

    def _set_logger_level(self) -> None:
        level = min(logging.DEBUG if capture else level for level, _, capture in self._shares.values())
        if self._logger.level != level:  # setting it empties a cache of the whole process
            self._logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._pass_on(record)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a record that cannot be written must never end a turn
            with suppress(Exception):
                self._tell_of_lost(record, error)

    def _tell_of_lost(self, record: logging.LogRecord, error: Exception) -> None:
        """Instead of `handleError`, which prints message and arguments as they are, secrets and all."""
        scope, upwards = current(), self._logger.parent
        if upwards:
            words = (
                f"a log line of {record.module}, line {record.lineno}, could not be written ({type(error).__name__})"
            )
            upwards.callHandlers(_finished(record, scope, words, ""))

    def _pass_on(self, record: logging.LogRecord) -> None:
        scope = current()
        shown = record.levelno >= (scope.level if scope.level is not None else self._console_level())
        upwards = self._logger.parent
        if scope.recorder is None and not (shown and upwards):
            return
        message = self._clean(record.getMessage(), keep_lines=False)
        trace = self._clean(_traceback(record), keep_lines=True)
        if scope.recorder is not None:
            scope.recorder.add(_entry(record, scope.context, message, trace))
        if shown and upwards:
            upwards.callHandlers(_finished(record, scope, message, trace))

    def _console_level(self) -> int:
        return min(level for level, _, _ in self._shares.values())

    def _clean(self, text: str, *, keep_lines: bool) -> str:
        cut = len(text) > LONGEST_LINE
        text = text[:LONGEST_LINE]
        for _, redact, _ in tuple(self._shares.values()):
            text = redact(text)
        if cut:
            text = text[:-_DOUBTFUL_END] + "…"  # the end may hold the head of a secret
        text = text if keep_lines else text.replace("\n", "\\n")
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return _FORMATTER.formatException(record.exc_info)
    return record.exc_text or ""


def _finished(record: logging.LogRecord, scope: Scope, message: str, trace: str) -> logging.LogRecord:
    """A copy for the host's handlers. The exception is text by now: a host that formats it itself would show values."""
    told = " ".join(f"{name}={value}" for name, value in _identifiers(scope.context) if value)
    lines = f"{message} [{told}]" if told else message
    # Attributes added with ``extra`` are values of any kind that nobody has redacted; they stay behind.
    copied = logging.makeLogRecord({name: value for name, value in vars(record).items() if name in _STANDARD})
    copied.msg, copied.args = (f"{lines}\n{trace}" if trace else lines), None
    copied.exc_info = copied.exc_text = copied.stack_info = None
    for name, value in _identifiers(scope.context):
        setattr(copied, name, value)
    return copied


def _identifiers(context: LogContext) -> tuple[tuple[str, str], ...]:
    return (
        ("request_id", _identifier(context.request_id)),
        ("user_id", _identifier(context.user_id)),
        ("session_id", _identifier(context.session_id)),
        ("chat_id", _identifier(context.chat_id)),
        ("message_id", _identifier(context.message_id)),
    )


def _identifier(value: str) -> str:
    return _CONTROL.sub("?", value[:128]).replace("\n", "?")


def _entry(record: logging.LogRecord, context: LogContext, message: str, trace: str) -> LogEntry:
    return LogEntry(
        ts=record.created,
        level=record.levelname,
        logger=record.name,
        message=message,
        event_type=str(getattr(record, "event_type", "log")),
        module=record.module,
        func=record.funcName or "",
        lineno=record.lineno,
        exception=trace,
        **dict(_identifiers(context)),
    )
