"""Secret valves at rest: ``encrypted:`` + Fernet under SHA-256 of WEBUI_SECRET_KEY. Nothing else is encrypted here.

The form equals that of the pipe that operators run today, so stored values stay readable.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from openrouter_pipe.ports.settings import SettingError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

PREFIX: Final = "encrypted:"
KEY_VARIABLE: Final = "WEBUI_SECRET_KEY"


def encrypt(value: str, environment: Mapping[str, str] = os.environ) -> str:
    """The form to store: encrypted once when the host has a secret key, unchanged without one or when blank."""
    key = environment.get(KEY_VARIABLE, "")
    if not key or not value.strip() or value.startswith(PREFIX):
        return value
    return PREFIX + _fernet(key).encrypt(value.encode()).decode()


def decrypt(name: str, value: str, environment: Mapping[str, str] = os.environ) -> str:
    """The secret itself; values without the prefix are taken as they are.

    Raises:
        SettingError: the value was encrypted under another key.
    """
    if not value.startswith(PREFIX):
        return value
    from cryptography.fernet import InvalidToken

    key = environment.get(KEY_VARIABLE, "")
    if not key:
        raise SettingError(name, f"is encrypted, but {KEY_VARIABLE} is not set; set it, or enter the value again")
    try:
        return _fernet(key).decrypt(value.removeprefix(PREFIX).encode()).decode()
    except (InvalidToken, ValueError):
        message = f"cannot be decrypted with the present {KEY_VARIABLE}; restore that key, or enter the value again"
        raise SettingError(name, message) from None


def _fernet(key: str) -> Fernet:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
