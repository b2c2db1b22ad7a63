"""The few failures that arise before the core is asked or behind it. Everything else is classified and worded there.

They look like the core's built-in templates: heading, what happened, what to do, error ID, time, ids and support. The core's
template language is not to be had here, so the texts are fixed; what is put into them is made inert.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel

from openrouter_pipe.adapters.openwebui.request import HostCall, read_identity
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.ports.chat import Failed
from openrouter_pipe.ports.settings import SettingError

_log = logging.getLogger(__name__)
_LONGEST: Final = 1000
_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_MARKUP: Final = re.compile(r"([\\`\[\]])")
_OPERATOR: Final = "this has to be set right by whoever runs this service. Nothing was sent to the model."
_AGAIN: Final = (
    "send the message again. If this repeats, report it with the error ID; the log tells more under the same ID."
)


class EdgeFailures:
    """The failures of one call. ``valves`` are those of the operator, for the support addresses as they are stored: the
    settings as a whole may be what cannot be read."""

    def __init__(
        self, ids: SteadyIds, clock: SteadyClock, valves: BaseModel | None = None, call: HostCall | None = None
    ) -> None:
        self._ids = ids
        self._clock = clock
        self._call = call
        self._support = [getattr(valves, name, "") for name in ("SUPPORT_EMAIL", "SUPPORT_URL")]

    def configuration(self, error: SettingError) -> Failed:
        """A setting that cannot be used; no request leaves. ``error`` names the setting and the fix."""
        error_id = self._ids.error_id()
        _log.error("configuration error %s: %s", error_id, error.for_log)
        text = self._text("Configuration error", inert(str(error)), _OPERATOR, error_id)
        return Failed(error_id, "configuration_error", text, 500)

    def setup_done(self) -> Failed:
        """The entry that asked for set-up was chosen, and there is nothing left to set up."""
        error_id = self._ids.error_id()
        what = "OpenRouter is set up; this entry only stood in for the models."
        text = self._text(
            "Choose a model", what, "choose a model from the list; reload the page if it shows none.", error_id
        )
        return Failed(error_id, "bad_request", text, 400)

    def internal(self, what: str, *, partial: bool = False) -> Failed:
        """Anything nobody expected. Call it while the exception is handled: the log gets it as ``what``, the user does not."""
        error_id = self._ids.error_id()
        _log.exception("%s (error %s)", what, error_id)
        message = "Something unexpected went wrong while this was answered."
        return Failed(error_id, "internal_error", self._text("Internal error", message, _AGAIN, error_id), 500, partial)

    def _text(self, heading: str, message: str, remedy: str, error_id: str) -> str:
        lines = [f"- Error ID: `{error_id}`", *_time(self._clock.seconds())]
        lines += self._who()
        lines += [f"- Support: {inert(one)}" for one in self._support if isinstance(one, str) and one.strip()]
        return f"### {heading}\n\n{message}\n\n**What to do:** {remedy}\n\n" + "\n".join(lines) + "\n"

    def _who(self) -> list[str]:
        if self._call is None:
            return []
        who = read_identity(self._call)
        return [f"- {what}: {inert(one)}" for what, one in (("Session", who.session_id), ("User", who.user_id)) if one]


def inert(text: str) -> str:
    """``text`` in one line, as it is written: nothing in it is HTML, an image, a link or code."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return _MARKUP.sub(r"\\\1", _SPACES.sub(" ", cut).strip()).replace("<", "&lt;")


def _time(seconds: int) -> list[str]:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return []
    return [f"- Time: {moment.strftime('%Y-%m-%dT%H:%M:%SZ')}"]
