"""Valves and UserValves as the host wants them, made from the one list of settings, and the way back to `Settings`.

Three decisions that the host's ways force:

*Out-of-bounds values.* A value that is being saved is refused, with a message that names setting and bounds (0.12.4 shows
only that saving failed and writes the message to its log; bounds stand in each field's description). A value that
is already stored is never a reason to raise: Open WebUI 0.6.28 would then answer GET /api/models with an error for
everybody. The host builds the same class in both cases, so the one caller that loads stored values is told by its name;
there the bad value is set aside and remembered, models are listed, and each chat is answered with the explanation instead
of running on a guess. A user's own bad value is set aside with a notification and costs nothing else.

*Defaults.* Only what an operator set is ever dumped, also on hosts that ask for a full dump, so that neither a default
nor a value from the environment is frozen into the database. Environment variables count at the time of the call.

*Secrets* are stored encrypted (see `secret_values`).
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, create_model

from openrouter_pipe.adapters.openwebui import secret_values
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import (
    INHERIT,
    SETTINGS,
    SETTINGS_BY_NAME,
    Kind,
    Secret,
    Setting,
    SettingError,
    Settings,
    override,
    read_settings,
)

_log = logging.getLogger(__name__)
_LOADERS: Final = frozenset({"get_function_module_by_id", "get_function_params"})
"""The host's functions that build valves from what is stored, on every version."""

_UPPER: Final = frozenset(
    {"API", "CSS", "DB", "HTTP", "ID", "LLM", "LZ4", "MB", "ORS", "SSE", "SSRF", "TTL", "URL", "URLS", "ZIP"}
)
_PERSONAL: Final = tuple(setting for setting in SETTINGS if setting.per_user)
_NAMING: Final = tuple(setting for setting in SETTINGS if setting.env)
_VARIABLES: Final = (*(setting.env for setting in _NAMING if setting.env), secret_values.KEY_VARIABLE)
"""Every variable that settings depend on."""
_Given: TypeAlias = tuple[str, Any, type]
"""Name, value and the value's type, since 1, 1.0 and True are equal."""
_SECRET_HINT: Final = {"input": {"type": "password"}}


class _Stored(BaseModel):
    """What both kinds of valves share."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, protected_namespaces=())
    _problems: tuple[SettingError, ...] = PrivateAttr(default=())

    def __init__(self, **data: Any) -> None:
        problems: tuple[SettingError, ...] = ()
        if _is_loader(sys._getframe(1)):  # noqa: SLF001 - the only thing that tells loading from saving
            data, problems = _set_aside(type(self), data)
        super().__init__(**data)
        self._problems = problems

    @property
    def problems(self) -> tuple[SettingError, ...]:
        """What was stored and cannot be used."""
        return self._problems

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Only what was set, unless asked otherwise: a default that is written down can never change again."""
        return super().model_dump(**{"exclude_unset": True, **options})

    @classmethod
    def read(cls, setting: Setting, value: Any) -> Any:
        """Check one value; overridden per kind of valves."""
        raise NotImplementedError


class _OperatorValves(_Stored):
    @classmethod
    def read(cls, setting: Setting, value: Any) -> Any:
        """What is kept for this setting; raises `SettingError`."""
        if setting.secret:
            if value is None:
                return ""
            parsed = setting.parse(value)
            return secret_values.encrypt(parsed.reveal() if isinstance(parsed, Secret) else "")
        if setting.env and (value is None or not str(value).strip()):
            return _default(setting)
        return setting.parse(value)


class _PersonalValves(_Stored):
    @classmethod
    def read(cls, setting: Setting, value: Any) -> Any:
        """What is kept for this setting: ``inherit`` or the word for a value; raises `SettingError`."""
        if value is None or (isinstance(value, str) and value.strip().lower() in {"", INHERIT}):
            return INHERIT
        parsed = setting.parse(value)
        return str(parsed).lower() if isinstance(parsed, bool) else parsed


def make_valves(*, password_inputs: bool) -> type[BaseModel]:
    """The operator's valves; ``password_inputs`` only where the host shows such fields (see `host.Host`)."""
    fields: dict[str, Any] = {setting.name: _operator_field(setting, password_inputs) for setting in SETTINGS}
    return create_model("Valves", __base__=_OperatorValves, __doc__="Settings of the operator.", **fields)


def make_user_valves() -> type[BaseModel]:
    """What users may set for themselves; every field starts as ``inherit``."""
    fields: dict[str, Any] = {setting.name: _personal_field(setting) for setting in SETTINGS if setting.per_user}
    return create_model("UserValves", __base__=_PersonalValves, __doc__="Settings of one user.", **fields)


def settings_from(
    valves: BaseModel, user_valves: object = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """One consistent snapshot: the operator's values, the environment, the defaults, then the user's own values.

    Call it once, without waiting in between, at the start of a call: the host swaps valves between calls.

    Raises:
        SettingError: a stored value is out of bounds, or a secret cannot be decrypted.
    """
    for problem in getattr(valves, "problems", ()):
        raise problem
    variables = tuple(environment.get(name, "") for name in _VARIABLES)
    names = valves.model_fields_set & SETTINGS_BY_NAME.keys()
    given = tuple((name, value, type(value)) for name in sorted(names) for value in (getattr(valves, name),))
    personal = tuple((name, value, type(value)) for name, value in personal_values(user_valves).items())
    try:
        return _settings(given, personal, variables)
    except TypeError:  # a value that cannot be hashed was written past the checks; it is refused by name
        return _settings.__wrapped__(given, personal, variables)


@functools.lru_cache(maxsize=128)
def _settings(given: tuple[_Given, ...], personal: tuple[_Given, ...], variables: tuple[str, ...]) -> Settings:
    """The settings of this content. The host makes valves anew for every call; who asks for the same gets the same object,
    so that everything derived from it need not be made again."""
    environment = dict(zip(_VARIABLES, variables, strict=True))
    values: dict[str, JsonValue | Secret] = {}
    for name, value, _ in given:
        setting = SETTINGS_BY_NAME[name]
        if (setting.env or setting.kind is Kind.TEMPLATE) and not str(value).strip():
            continue
        values[name] = Secret(secret_values.decrypt(name, value, environment)) if setting.secret else value
    settings = read_settings(values, _usable(environment))
    return override(settings, {name: value for name, value, _ in personal})


def personal_values(user_valves: object) -> dict[str, JsonValue]:
    """What the user set; a value that cannot be used is left out (see `personal_problems`)."""
    if isinstance(user_valves, BaseModel):
        given = {name: getattr(user_valves, name) for name in user_valves.model_fields_set}
    else:
        given = dict(user_valves) if isinstance(user_valves, dict) else {}
    kept: dict[str, JsonValue] = {}
    for setting in _PERSONAL:
        if setting.name in given and _problem(setting, given[setting.name]) is None:
            kept[setting.name] = _PersonalValves.read(setting, given[setting.name])
    return kept


def personal_problems(user_valves: object) -> tuple[SettingError, ...]:
    """What the user set and cannot have, each naming the field and its bounds."""
    if isinstance(user_valves, _Stored):
        return user_valves.problems
    given = user_valves if isinstance(user_valves, dict) else {}
    found = (_problem(setting, given.get(setting.name)) for setting in _PERSONAL)
    return tuple(problem for problem in found if problem)


def _problem(setting: Setting, value: Any) -> SettingError | None:
    try:
        _PersonalValves.read(setting, value)
    except SettingError as error:
        return error
    return None


def _is_loader(frame: FrameType) -> bool:
    return frame.f_code.co_name in _LOADERS


def _set_aside(model: type[_Stored], data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[SettingError, ...]]:
    kept: dict[str, Any] = {}
    problems: list[SettingError] = []
    for name, value in data.items():
        if name not in model.model_fields:
            continue
        try:
            model.read(SETTINGS_BY_NAME[name], value)
        except SettingError as error:
            problems.append(error)
            _log.warning("stored setting is unusable: %s", error)
        else:
            kept[name] = value
    return kept, tuple(problems)


def _usable(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that settings name, without those that the host set for its own purposes to words unknown here."""
    return {setting.env: value for setting in _NAMING if setting.env and (value := _variable(setting, environment))}


def _variable(setting: Setting, environment: Mapping[str, str]) -> str:
    value = environment.get(setting.env, "") if setting.env else ""
    if not value.strip():
        return ""
    try:
        setting.parse(value.strip())
    except SettingError as error:
        _log.debug("environment variable %s is ignored: %s", setting.env, error)
        return ""
    return value


def _default(setting: Setting) -> Any:
    given = _variable(setting, os.environ).strip()
    if setting.secret:
        return given
    return setting.parse(given) if given else setting.default


def _operator_field(setting: Setting, password_inputs: bool) -> Any:
    extra: dict[str, Any] = {}
    if setting.secret and password_inputs:
        extra.update(_SECRET_HINT)
    options: dict[str, Any] = {"title": _title(setting.name), "description": _description(setting)}
    if setting.secret:
        options["repr"] = False
    if setting.env:
        # The schema shows the built-in default: the environment may hold a secret, and may change.
        options["default_factory"] = functools.partial(_default, setting)
        extra["default"] = "" if setting.secret else setting.default
    else:
        options["default"] = "" if setting.secret else setting.default
    if extra:
        options["json_schema_extra"] = extra
    return (Annotated[_type(setting), _reader(_OperatorValves.read, setting)], Field(**options))


def _personal_field(setting: Setting) -> Any:
    words = ("true", "false") if setting.kind is Kind.BOOL else setting.choices
    default = setting.user_default or INHERIT
    description = f"{setting.description} `{INHERIT}`: what the operator chose."
    return (
        Annotated[Literal[(INHERIT, *words)], _reader(_PersonalValves.read, setting)],
        Field(default=default, title=_title(setting.name), description=description),
    )


def _reader(read: Callable[[Setting, Any], Any], setting: Setting) -> BeforeValidator:
    return BeforeValidator(functools.partial(read, setting))


def _type(setting: Setting) -> Any:
    if setting.kind is Kind.CHOICE:
        return Literal[setting.choices]
    if setting.kind is Kind.BOOL:
        return bool
    if setting.kind not in {Kind.INT, Kind.FLOAT}:
        return str
    number: Any = Annotated[int if setting.kind is Kind.INT else float, Field(ge=setting.low, le=setting.high)]
    return number | None if setting.optional else number


def _title(name: str) -> str:
    words = [word if word in _UPPER else word.lower() for word in name.split("_")]
    words[0] = words[0] if words[0] in _UPPER else words[0].capitalize()
    return " ".join(words)


def _description(setting: Setting) -> str:
    parts = [setting.description if setting.description.endswith(".") else setting.description + "."]
    if setting.bounds and not setting.choices:
        bounds = setting.bounds if setting.high is not None else f"at least {setting.bounds.rstrip('.')}"
        parts.append(f"Bounds: {bounds}{', or empty' if setting.optional else ''}.")
    if setting.env:
        parts.append(f"When empty: environment variable {setting.env}.")
    if setting.secret:
        parts.append(f"Stored encrypted when {secret_values.KEY_VARIABLE} is set.")
    return " ".join(parts)
