"""What a setting is: its name, kind, default and bounds, how a value of it is read, and a value that nobody may see.

Which settings there are stands in settings.py.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final, TypeAlias

from attrs import frozen

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.model_rules import ModelRulesError, parse_model_rules

SettingValue: TypeAlias = "bool | int | float | str | Secret | None"
"""What a setting holds once it is read."""


class Secret:
    """A string that does not show itself: repr, str and format print stars. Empty means not set."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself; call it only where it is used."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return "Secret('**********')" if self._value else "Secret('')"

    __str__ = __repr__


class SettingError(ValueError):
    """A value that a setting cannot take; the message names the setting, its bounds and the fix, never a secret.

    ``for_log`` says the same in a form that redaction leaves whole: what follows a secret's name and a colon looks like one.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.for_log = f"{name} {message}"


class Kind(StrEnum):
    """The shape of a setting's value."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "str"
    CHOICE = "choice"
    SECRET = "secret"  # noqa: S105 - the name of a kind, not a password
    TEMPLATE = "template"


@frozen
class Setting:
    """One setting.

    ``low`` and ``high`` bound numbers (inclusive), ``choices`` bound a choice. ``optional`` allows null. ``env`` names an
    environment variable whose value replaces ``default``. ``user_default`` is the default of the per-user setting, None
    for "unset, the operator's value holds". ``rules`` tells that a text is a list of rules by model.
    """

    group: str
    name: str
    kind: Kind
    default: SettingValue
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    per_user: bool = False
    user_default: str | None = None
    env: str | None = None
    rules: bool = False

    @property
    def secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.kind is Kind.SECRET

    @property
    def bounds(self) -> str:
        """The accepted range in words: ``1..10``, ``1..``, ``a/b/c`` or empty."""
        if self.choices:
            return "/".join(self.choices)
        if self.low is None:
            return ""
        return f"{_number(self.low)}..{'' if self.high is None else _number(self.high)}"

    def parse(self, value: JsonValue | Secret) -> SettingValue:
        """Read one value as a host, an environment or a user gives it.

        Numbers and switches may come as text; blank text is null. Null gives the default for a setting that cannot be
        null.

        Raises:
            SettingError: wrong type, out of bounds, or not one of the choices.
        """
        if isinstance(value, str) and not value.strip() and self.kind in _NUMERIC | {Kind.BOOL, Kind.CHOICE}:
            value = None
        if value is None:
            return None if self.optional else self.default
        match self.kind:
            case Kind.BOOL:
                return self._bool(value)
            case Kind.INT | Kind.FLOAT:
                return self._number(value)
            case Kind.CHOICE:
                return self._choice(value)
            case Kind.SECRET:
                return value if isinstance(value, Secret) else Secret(self._text(value))
            case Kind.TEXT | Kind.TEMPLATE:
                return self._text(value)

    def _bool(self, value: JsonValue | Secret) -> bool:
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else value
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise SettingError(self.name, f"must be true or false, not {_shown(value)}")

    def _number(self, value: JsonValue | Secret) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise SettingError(self.name, f"must be a number{self._within()}, not {_shown(value)}")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise SettingError(self.name, f"must be a number{self._within()}, not {_shown(value)}") from None
        if not math.isfinite(number) or (self.kind is Kind.INT and not number.is_integer()):
            what = "whole number" if self.kind is Kind.INT else "number"
            raise SettingError(self.name, f"must be a {what}{self._within()}, not {_shown(value)}")
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            raise SettingError(self.name, f"must be{self._within()}, not {_shown(value)}")
        return int(number) if self.kind is Kind.INT else number

    def _choice(self, value: JsonValue | Secret) -> str:
        if isinstance(value, str):
            for choice in self.choices:
                if choice.lower() == value.strip().lower():
                    return choice
        raise SettingError(self.name, f"must be one of {', '.join(self.choices)}, not {_shown(value)}")

    def _text(self, value: JsonValue | Secret) -> str:
        if not isinstance(value, str):
            raise SettingError(self.name, "must be text")
        if self.rules:
            try:
                parse_model_rules(value)
            except ModelRulesError as problem:
                raise SettingError(self.name, str(problem)) from None
        return value

    def _within(self) -> str:
        if self.low is None:
            return ""
        if self.high is None:
            return f" of at least {_number(self.low)}"
        return f" between {_number(self.low)} and {_number(self.high)}"


_NUMERIC: Final = frozenset({Kind.INT, Kind.FLOAT})
_TRUE: Final = frozenset({"true", "1", "yes", "on", 1})
_FALSE: Final = frozenset({"false", "0", "no", "off", 0})


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _shown(value: JsonValue | Secret) -> str:
    if isinstance(value, Secret):
        return "a secret"
    text = repr(value)
    # The message reaches whoever chats. Nobody mistypes a number by so much; this may be a key in the wrong field.
    return text if len(text) <= 24 else f"{len(text)} characters of something else"
