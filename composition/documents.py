"""Documents derived from the one list of settings."""

from __future__ import annotations

from itertools import groupby

from openrouter_pipe.ports.settings import SETTINGS, Kind, Setting, SettingValue

_HEAD = """\
# Settings

Written by `make format` from `ports/settings.py`, the only list; `make check` fails when this table is out of date.

Operators set these as valves of the function in Open WebUI, or by the environment variable named in the default; the
command line takes the same names (`openrouter-pipe chat --set NAME=VALUE`). Every setting is read at the start of each
request, so a change acts on the next one; none needs a restart. A value out of bounds is refused with a message that
names the setting and its bounds.

Users may override those marked *user* for themselves; `inherit` or an empty value means "what the operator chose".
Secrets are stored as `encrypted:...` when the host sets `WEBUI_SECRET_KEY`. A template left empty is the built-in text.
"""


def settings_document() -> str:
    """The whole of docs/valves.md."""
    parts = [_HEAD]
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts.append(f"\n## {group}\n\n| Setting | Type | Default | Bounds | | Meaning |\n|---|---|---|---|---|---|\n")
        parts.extend(_row(setting) for setting in settings)
    return "".join(parts)


def _row(setting: Setting) -> str:
    kind = setting.kind.value + (" or null" if setting.optional else "")
    bounds = setting.bounds.replace("/", ", ")
    marks = ", ".join(mark for mark, given in (("secret", setting.secret), ("user", setting.per_user)) if given)
    return f"| `{setting.name}` | {kind} | {shown_default(setting)} | {bounds} | {marks} | {setting.description} |\n"


def shown_default(setting: Setting) -> str:
    """The default as the tables write it; a secret has none."""
    if setting.kind is Kind.TEMPLATE:
        return "built in"
    shown = "" if setting.secret else _shown(setting.default)
    if setting.env:
        return f"`${setting.env}`" + (f" or {shown}" if shown else "")
    return shown


def _shown(value: SettingValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case "":
            return ""
        case _:
            return f"`{value}`"
