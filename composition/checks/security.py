"""Recommended security: the secret key of the host, how secrets are stored, downloads."""

from __future__ import annotations

from typing import Final

from openrouter_pipe.adapters.openwebui.secret_values import KEY_VARIABLE, PREFIX
from openrouter_pipe.composition.checks.result import Check, Checklist, Group, Subject
from openrouter_pipe.ports.settings import SETTINGS

_LIST: Final = Checklist(Group.SECURITY)
_SHORTEST: Final = 16
_FEWEST_DIFFERENT: Final = 6
_NEW_KEY: Final = (
    f"Set {KEY_VARIABLE} to a long random value (`openssl rand -base64 36`), restart, and enter secret valves again."
)
_WELL_KNOWN: Final = frozenset(
    {
        *("t0p-s3cr3t", "secret", "secret-key", "secretkey", "my-secret-key", "your-secret-key", "your_secret_key"),
        *("changeme", "change-me", "change_me", "changethis", "password", "default", "test", "openwebui", "open-webui"),
        *("webui-secret-key", "webui_secret_key", "your-secret-key-here", "supersecret", "super-secret-key", "0" * 32),
    }
)
"""What images, tutorials and Open WebUI itself (t0p-s3cr3t) put there."""


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    return [secret_key(subject.environment.get(KEY_VARIABLE, "")), _at_rest(subject), *_downloads(subject), _egress()]


def secret_key(key: str) -> Check:
    """The quality of the host's secret key."""
    name = KEY_VARIABLE
    if not key:
        return _LIST.warning(
            name,
            "it is not set in this environment; secret valves are stored as they are",
            f"{_NEW_KEY} Outside of Open WebUI: give this command the value that Open WebUI has (perhaps in .webui_secret_key).",
        )
    if key.strip().lower() in _WELL_KNOWN:
        return _LIST.failed(
            name, "it is a well-known default: anybody can forge sessions and read secret valves", _NEW_KEY
        )
    if len(key) < _SHORTEST:
        return _LIST.warning(name, f"it has {len(key)} characters; {_SHORTEST} are the least", _NEW_KEY)
    if len(set(key)) < _FEWEST_DIFFERENT:
        return _LIST.warning(name, f"it has only {len(set(key))} different characters", _NEW_KEY)
    return _LIST.ok(name, f"it is set ({len(key)} characters) and no known default")


def _at_rest(subject: Subject) -> Check:
    name = "secrets at rest"
    if subject.stored is None:
        return _LIST.skipped(name, "the stored valves are not at hand here")
    plain, sealed = [], 0
    for setting in SETTINGS:
        value = subject.stored.get(setting.name)
        if setting.secret and isinstance(value, str) and value.strip():
            sealed += value.startswith(PREFIX)
            plain += [] if value.startswith(PREFIX) else [setting.name]
    if plain:
        return _LIST.warning(
            name,
            f"stored unencrypted in the host's database: {', '.join(plain)}",
            f"Set {KEY_VARIABLE}, then open the pipe's valves and save them again.",
        )
    return _LIST.ok(name, f"{sealed} secret valves are stored, all of them encrypted")


def _downloads(subject: Subject) -> list[Check]:
    settings = subject.settings
    guard = (
        _LIST.ok("SSRF protection", "ENABLE_SSRF_PROTECTION is on")
        if settings.ENABLE_SSRF_PROTECTION
        else _LIST.failed(
            "SSRF protection",
            "ENABLE_SSRF_PROTECTION is off: users can have this server fetch addresses of its own network",
            "Switch ENABLE_SSRF_PROTECTION on.",
        )
    )
    hosts = [host.strip() for host in settings.ALLOW_INSECURE_HTTP_HOSTS.split(",") if host.strip()]
    if settings.ALLOW_INSECURE_HTTP and hosts:
        told = f"http:// is allowed for {len(hosts)} hosts: {', '.join(hosts[:5])}"
        return [
            guard,
            _LIST.warning("https only", told, "Empty ALLOW_INSECURE_HTTP_HOSTS, switch ALLOW_INSECURE_HTTP off."),
        ]
    if settings.ALLOW_INSECURE_HTTP or hosts:
        told = "one of ALLOW_INSECURE_HTTP and ALLOW_INSECURE_HTTP_HOSTS is set; without the other nothing is allowed"
        return [guard, _LIST.warning("https only", told, "Switch ALLOW_INSECURE_HTTP off and empty the list of hosts.")]
    return [guard, _LIST.ok("https only", "downloads by http:// are refused")]


def _egress() -> Check:
    return _LIST.skipped(
        "egress policy",
        "firewall and proxy rules cannot be seen from here",
        "Allow this server only the provider, and what attachments and tools need.",
    )
