"""The few failures that arise before the core is asked. Everything else is classified and worded there."""

from __future__ import annotations

import logging

from openrouter_pipe.ports.chat import Failed

_LOG = logging.getLogger(__name__)


def configuration_failure(message: str, error_id: str) -> Failed:
    """A setting that cannot be used; no request leaves."""
    _LOG.error("configuration error %s: %s", error_id, message)
    return Failed(error_id, "configuration_error", _text("Configuration error", message, error_id), 500)


def internal_failure(error_id: str, *, partial: bool = False) -> Failed:
    """Anything nobody expected; the log knows more."""
    message = "Something unexpected happened. The administrator finds the cause in the log."
    return Failed(error_id, "internal_error", _text("Internal error", message, error_id), 500, partial)


def _text(heading: str, message: str, error_id: str) -> str:
    return f"### {heading}\n\n{message}\n\nError ID: `{error_id}`\n"
