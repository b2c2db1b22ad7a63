"""From a host's messages and our stored items to the input of a request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from openrouter_pipe.domain.history import markers, reading, turns
from openrouter_pipe.domain.history.images import Selection, select, shows_image, user_parts
from openrouter_pipe.domain.history.pairing import repair
from openrouter_pipe.domain.history.policy import REASONING_CONVERSATION, HistoryPolicy
from openrouter_pipe.domain.history.pruning import prune
from openrouter_pipe.ports.chat import ChatMessage, HostRecords
from openrouter_pipe.ports.items import (
    FunctionOutputItem,
    ImagePart,
    InputItem,
    MessageItem,
    Part,
    Role,
    TextPart,
)

__all__ = ["History", "build", "marker_ids", "repair"]

_log = logging.getLogger(__name__)

_TOLD_PER_TURN: Final = 20
"""Repeated markers that a turn names in the log at most."""

IMAGE_ONLY: Final = "[image]"
"""What is left of an assistant message that showed nothing but images."""


@frozen
class History:
    """The input items of a request, and what the user should know about them.

    ``images_before`` is how many images stood before those of the last user message that are left.
    """

    items: tuple[InputItem, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()
    images_before: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it that a model could answer: no item, or blank text only."""
        return all(
            isinstance(item, MessageItem)
            and all(isinstance(part, TextPart) and not part.text.strip() for part in item.parts)
            for item in self.items
        )


def marker_ids(messages: Sequence[ChatMessage]) -> tuple[str, ...]:
    """The ids of all markers in assistant messages, each once, in order."""
    found = (
        one
        for message in messages
        if message.role is Role.ASSISTANT
        for part in message.parts
        if isinstance(part, TextPart)
        for one in markers.ids(part.text)
    )
    return tuple(dict.fromkeys(found))


def build(
    messages: Sequence[ChatMessage],
    artifacts: Mapping[str, InputItem],
    inputs: frozenset[str],
    policy: HistoryPolicy,
    *,
    records: HostRecords | None = None,
    gaps_are_told: bool = False,
) -> History:
    """The whole history as input items that every provider takes.

    ``artifacts`` are the stored items by marker id, as far as they could be read; ``inputs`` are the kinds of input the
    model reads (text, image, file, audio, video). ``records`` reads what the host wrote into the text of answers.
    ``gaps_are_told``: the user hears from somebody else why items are missing.
    """
    builder = _Builder(messages, artifacts, select(messages, inputs, policy), policy, records or reading.NoRecords())
    for at, message in enumerate(messages):
        builder.add(at, message)
    builder.close_turn()
    warnings = list(builder.selection.warnings)
    if builder.missing and not gaps_are_told and policy.persist_reasoning == REASONING_CONVERSATION:
        warnings.append(f"{builder.missing} stored items of earlier turns could not be read and were left out.")
    return History(repair(builder.items), tuple(warnings), builder.selection.missing)


class _Builder:
    """Collects turns; one per request."""

    def __init__(
        self,
        messages: Sequence[ChatMessage],
        artifacts: Mapping[str, InputItem],
        selection: Selection,
        policy: HistoryPolicy,
        records: HostRecords,
    ) -> None:
        self.items: list[InputItem] = []
        self.missing = 0
        self.selection = selection
        self._artifacts = artifacts
        self._policy = policy
        self._records = records
        self._age = sum(
            message.role is Role.USER and not _shows_tool_images(messages, at) for at, message in enumerate(messages)
        )
        self._messages = messages
        self._entries: list[reading.Entry] = []
        self._used: set[str] = set()
        self._image_only = False

    def add(self, at: int, message: ChatMessage) -> None:
        match message.role:
            case Role.ASSISTANT:
                entries = reading.read_assistant(at, message, self._records)
                self._image_only = self._image_only or (not entries and shows_image(message.parts))
                self._entries.extend(entries)
            case None:
                self._entries.append(reading.HostRecord(_tool_output(message)))
            case Role.USER if _shows_tool_images(self._messages, at):
                self._entries.append(reading.HostRecord(self._user(at, message)))
            case Role.USER:
                self.close_turn()
                self._age -= 1
                if (item := self._user(at, message)).parts:
                    self.items.append(item)
            case Role.SYSTEM | Role.DEVELOPER as role:
                self.close_turn()
                if any(not isinstance(part, TextPart) or part.text for part in message.parts):
                    self.items.append(MessageItem(role, message.parts))

    def close_turn(self) -> None:
        """Weave what was collected since the last user message."""
        may_be_gone = self._policy.persist_reasoning != REASONING_CONVERSATION
        turn = turns.weave(self._entries, self._artifacts, self._used, self._records, reasoning_may_be_gone=may_be_gone)
        self.missing += len(turn.missing)
        for one in turn.repeated[:_TOLD_PER_TURN]:
            _log.warning("marker %s occurs again and is skipped", one)
        items = turn.items
        if not items and self._image_only:
            items = (MessageItem(Role.ASSISTANT, (TextPart(IMAGE_ONLY),)),)
        retention = self._policy.tool_output_retention_turns
        self.items.extend(prune(item, self._age, retention) for item in items)
        self._entries = []
        self._image_only = False

    def _user(self, at: int, message: ChatMessage) -> MessageItem:
        return MessageItem(Role.USER, user_parts(at, message, self.selection))


def _shows_tool_images(messages: Sequence[ChatMessage], at: int) -> bool:
    """Whether the user message at ``at`` is a host's way to show the images of tool outputs: it follows one of them, and
    the user cannot speak between a tool and the assistant."""
    follows_tool = at > 0 and messages[at - 1].role is None
    return follows_tool and any(isinstance(part, ImagePart) for part in messages[at].parts)


def _tool_output(message: ChatMessage) -> FunctionOutputItem:
    output: str | tuple[Part, ...] = message.parts
    if all(isinstance(part, TextPart) for part in message.parts):
        output = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return FunctionOutputItem(message.tool_call_id or "", output)
