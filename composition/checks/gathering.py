"""Where the settings come from that are examined: the environment and the command line, or the valves that the host holds.

A setting that cannot be read is named and takes its default, so that everything else can be looked at all the same.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Final, cast

from attrs import field, frozen

from openrouter_pipe.adapters.openwebui.host import told
from openrouter_pipe.adapters.openwebui.records import stored_valves
from openrouter_pipe.adapters.openwebui.secret_values import decrypt
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import (
    SETTINGS,
    SETTINGS_BY_NAME,
    Kind,
    Secret,
    SettingError,
    Settings,
    read_settings,
)

OWN_VARIABLES: Final = tuple(
    setting.name for setting in SETTINGS if (setting.secret and not setting.env) or setting.group == "Session logs"
)
"""Settings that the commands also read from a variable of their own name: secrets, which must not be arguments, and what
`openrouter-pipe logs` reads from there too."""

FROM_ENVIRONMENT: Final = "the environment and --set"
FROM_HOST: Final = "the valves stored in Open WebUI"


@frozen
class Gathered:
    """See `checks.result.Subject` for the fields."""

    settings: Settings
    source: str
    problems: Mapping[str, str] = field(factory=dict)
    stored: Mapping[str, object] | None = field(default=None, repr=False)
    chosen: frozenset[str] = frozenset()


def from_environment(given: Mapping[str, str], environment: Mapping[str, str]) -> Gathered:
    """Settings from NAME=VALUE pairs over the environment.

    Raises:
        SettingError: a pair names no setting, or a secret, which would stand in the process list and the shell's history.
    """
    refuse_secrets(given)
    own = {name: environment[name] for name in OWN_VARIABLES if environment.get(name, "").strip()}
    return read_leniently({**own, **given}, environment, FROM_ENVIRONMENT)


async def from_host(pipe_id: str, given: Mapping[str, str], environment: Mapping[str, str]) -> Gathered:
    """Settings as the host holds them for this function, with NAME=VALUE pairs over them.

    Raises:
        HostModelError: no host in this Python, or it has no such function.
        SettingError: as `from_environment`.
    """
    refuse_secrets(given)
    with contextlib.redirect_stdout(sys.stderr):  # the host greets whoever imports it
        stored = await stored_valves(pipe_id)
    known = {
        name: value
        for name, value in stored.items()
        if (setting := SETTINGS_BY_NAME.get(name)) is not None
        and not ((setting.env or setting.secret or setting.kind is Kind.TEMPLATE) and not str(value or "").strip())
    }
    found = read_leniently({**known, **given}, environment, FROM_HOST)
    return Gathered(found.settings, found.source, found.problems, dict(stored), found.chosen)


def refuse_secrets(given: Mapping[str, str]) -> None:
    """Raises `SettingError` for a pair that names no setting, or a secret."""
    for name in given:
        setting = SETTINGS_BY_NAME.get(name)
        if setting is None:
            raise SettingError(name, "there is no such setting; docs/valves.md lists them all")
        if setting.secret:
            variable = setting.env or name
            raise SettingError(name, f"is a secret and must not stand on the command line; set the variable {variable}")


def read_leniently(values: Mapping[str, object], environment: Mapping[str, str], source: str) -> Gathered:
    """Every setting that can be read, and what is wrong with the others."""
    problems: dict[str, str] = {}
    kept: dict[str, JsonValue | Secret] = {}
    merged = dict(values)
    for setting in SETTINGS:
        if setting.name not in merged and setting.env and environment.get(setting.env, "").strip():
            merged[setting.name] = environment[setting.env].strip()
    for name, value in merged.items():
        setting = SETTINGS_BY_NAME[name]
        try:
            read = decrypt(name, value, environment) if setting.secret and isinstance(value, str) else value
            kept[name] = cast("JsonValue | Secret", setting.parse(cast("JsonValue | Secret", read)))
        except SettingError as error:
            problems[name] = str(error).removeprefix(f"{name}: ")
    settings = read_settings(kept)
    chosen = frozenset(name for name in merged if getattr(settings, name) != SETTINGS_BY_NAME[name].default)
    return Gathered(settings, source, problems, chosen=chosen | problems.keys())


def has_host() -> bool:
    """Whether Open WebUI can be imported by this Python; it is not."""
    return "open_webui" in sys.modules or importlib.util.find_spec("open_webui") is not None


def host_version() -> str:
    """The version of the running host, else of the one that is installed; empty where there is none."""
    running = told("VERSION")
    if running.strip("0."):
        return running
    # Outside of the server the host may call itself 0.0.0.
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("open-webui")
    return running
