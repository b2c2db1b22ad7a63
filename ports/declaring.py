"""The words in which settings.py declares settings: each is a field of its class that carries the setting's own record.

The types are those of the field's value, as attrs has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from openrouter_pipe.ports.setting import Kind, Secret, Setting, SettingValue

META: Final = "setting"
"""Under which name a field carries its record; group and name are filled in by settings.py."""


def _setting(
    kind: Kind,
    default: SettingValue,
    description: str,
    bounds: tuple[float | None, float | None] = (None, None),
    *,
    choices: tuple[str, ...] = (),
    optional: bool = False,
    per_user: bool = False,
    user_default: str | None = None,
    env: str | None = None,
    rules: bool = False,
) -> Mapping[str, Setting]:
    setting = Setting(
        group="",
        name="",
        kind=kind,
        default=default,
        description=description,
        low=bounds[0],
        high=bounds[1],
        choices=choices,
        optional=optional,
        per_user=per_user,
        user_default=user_default,
        env=env,
        rules=rules,
    )
    return {META: setting}


def boolean(default: bool, description: str, *, per_user: bool = False) -> bool:
    """A switch."""
    return attrs.field(default=default, metadata=_setting(Kind.BOOL, default, description, per_user=per_user))


def whole(default: int, low: int, high: int | None, description: str) -> int:
    """A whole number within bounds; ``high`` None means no upper one."""
    return attrs.field(default=default, metadata=_setting(Kind.INT, default, description, (low, high)))


def whole_or_none(default: int | None, low: int, high: int | None, description: str) -> int | None:
    """The same, or nothing."""
    return attrs.field(default=default, metadata=_setting(Kind.INT, default, description, (low, high), optional=True))


def real(default: float, low: float, high: float | None, description: str) -> float:
    """A number within bounds."""
    return attrs.field(default=default, metadata=_setting(Kind.FLOAT, default, description, (low, high)))


def text(default: str, description: str, *, env: str | None = None) -> str:
    """Any text."""
    return attrs.field(default=default, metadata=_setting(Kind.TEXT, default, description, env=env))


def model_rules(description: str) -> str:
    """Text that must be readable as rules by model."""
    return attrs.field(default="", metadata=_setting(Kind.TEXT, "", description, rules=True))


def choice(
    choices: str,
    default: str,
    description: str,
    *,
    per_user: bool = False,
    user_default: str | None = None,
    env: str | None = None,
) -> str:
    """One of the words in ``choices``, separated by slashes."""
    return attrs.field(
        default=default,
        metadata=_setting(
            Kind.CHOICE,
            default,
            description,
            choices=tuple(choices.split("/")),
            per_user=per_user,
            user_default=user_default,
            env=env,
        ),
    )


def secret(description: str, *, env: str | None = None) -> Secret:
    """A text that is never shown."""
    return attrs.field(default=Secret(), metadata=_setting(Kind.SECRET, Secret(), description, env=env))


def template(default: str, description: str) -> str:
    """Markdown with the variables of docs/errors.md."""
    return attrs.field(default=default, metadata=_setting(Kind.TEMPLATE, default, description))
