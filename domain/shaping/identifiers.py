"""Who asks, as far as the operator lets the provider know.

Whatever a client sends as user, session_id or metadata is never read; no e-mail and no name leaves.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.ports.chat import Identity
from openrouter_pipe.ports.json import JsonObject

_LONGEST_ID: Final = 128
_LONGEST_VALUE: Final = 512


@frozen
class Identifiers:
    """``user`` and ``session_id`` of at most 128 characters, ``metadata`` values of at most 512."""

    user: str | None = None
    session_id: str | None = None
    metadata: JsonObject = field(factory=dict)


def choose_identifiers(identity: Identity, policy: ShapingPolicy) -> Identifiers:
    """What the settings allow; an identifier that is too long is left out, never cut."""
    sent = {
        "user_id": identity.user_id if policy.send_end_user_id else "",
        "session_id": identity.session_id if policy.send_session_id else "",
        "chat_id": identity.chat_id if policy.send_chat_id else "",
        "message_id": identity.message_id if policy.send_message_id else "",
    }
    usable = {key: value for key, value in ((k, _usable(v)) for k, v in sent.items()) if value}
    return Identifiers(user=_short(usable.get("user_id")), session_id=_short(usable.get("session_id")), metadata=usable)


def _usable(value: str) -> str:
    """The value, or nothing when it is too long or could not be sent as text."""
    text = value.strip()
    return text if len(text) <= _LONGEST_VALUE and text.isprintable() else ""


def _short(value: str | None) -> str | None:
    return value if value and len(value) <= _LONGEST_ID else None
