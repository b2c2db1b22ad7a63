"""Retention: what of a finished turn is stored for later ones, what is deleted again after the next reply, and which turns
leave a session log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openrouter_pipe.domain.history.pairing import repair
from openrouter_pipe.domain.history.policy import REASONING_DISABLED, REASONING_NEXT_REPLY, HistoryPolicy
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    MessageItem,
    OpaqueItem,
    ReasoningItem,
    Role,
)
from openrouter_pipe.ports.session_log import ArchivePolicy


def keep(items: Sequence[InputItem], policy: HistoryPolicy) -> tuple[InputItem, ...]:
    """What of the items a turn produced (outputs of our tools included) is worth storing, in the provider's order.

    Reasoning and pairs of calls and outputs as the policy says; a call that is still open is not kept, nor reasoning
    whose call is not kept (some providers refuse the one without the other). The assistant's messages are kept beside
    them only where the host's text alone would not tell their place among the items, or their phase.
    """
    answered = {item.call_id for item in items if isinstance(item, FunctionOutputItem)}
    sound = [item for item in items if not isinstance(item, FunctionCallItem) or item.call_id in answered]
    if policy.persist_tool_results:
        kept = [item for item in sound if _keeps(item, policy)]
    else:
        kept = [item for item in _without_calls(sound) if _keeps(item, policy)]
    valid = repair(kept)
    messages = [item for item in valid if isinstance(item, MessageItem)]
    others = [item for item in valid if not isinstance(item, MessageItem)]
    if not others and not any(message.phase for message in messages):
        return ()
    if _order_is_plain(valid):
        return tuple(others)
    return valid


def expired(artifacts: Mapping[str, InputItem], policy: HistoryPolicy) -> tuple[str, ...]:
    """Ids to delete once the reply that these artifacts were loaded for has succeeded: reasoning kept for one reply."""
    if policy.persist_reasoning != REASONING_NEXT_REPLY:
        return ()
    return tuple(one for one, item in artifacts.items() if isinstance(item, ReasoningItem))


def leaves_record(request: ChatRequest, policy: ArchivePolicy) -> bool:
    """Whether a turn leaves a session log: it takes a directory, a password and all four ids.

    Temporary chats, channels and tasks leave none, whatever ids they bring.
    """
    who = request.identity
    is_known = all((who.user_id, who.session_id, who.chat_id, who.message_id))
    return bool(policy.directory and policy.password) and request.persistent and request.task is None and is_known


def _keeps(item: InputItem, policy: HistoryPolicy) -> bool:
    match item:
        case ReasoningItem():
            return policy.persist_reasoning != REASONING_DISABLED
        case MessageItem(role=role):
            return role is Role.ASSISTANT
        case _:
            return not isinstance(item, OpaqueItem)


def _without_calls(items: Sequence[InputItem]) -> list[InputItem]:
    kept: list[InputItem] = []
    for item in items:
        if isinstance(item, FunctionCallItem | FunctionOutputItem):
            while kept and isinstance(kept[-1], ReasoningItem):
                kept.pop()
            continue
        kept.append(item)
    return kept


def _order_is_plain(items: Sequence[InputItem]) -> bool:
    """Whether the items are reasoning and then one message without phase: what a reader of the text would assume."""
    messages = [item for item in items if isinstance(item, MessageItem)]
    return (
        all(isinstance(item, ReasoningItem) for item in items if not isinstance(item, MessageItem))
        and all(message is items[-1] and message.phase is None for message in messages)
        and len(messages) <= 1
    )
