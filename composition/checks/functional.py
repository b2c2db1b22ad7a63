"""Minimum functional: host, packages, settings, key, address, catalogue, rules by model, clock."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

import attrs

from openrouter_pipe.adapters.openrouter import OpenRouterCatalog
from openrouter_pipe.adapters.openrouter.probe import KeyLook, look_at_key
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.bundle_entry import REQUIREMENTS
from openrouter_pipe.composition.checks import rules
from openrouter_pipe.composition.checks.result import Check, Checklist, Group, Subject
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.domain.catalog.selection import exposed
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.provider import Connection, FaultKind

OLDEST_HOST: Final = (0, 6, 28)
_LIST: Final = Checklist(Group.FUNCTIONAL)
_CONNECT, _READ, _TOTAL = 10.0, 15.0, 30.0
_SKEW_WARNS, _SKEW_FAILS = 30.0, 300.0
_REACH: Final = "Check BASE_URL, DNS, proxy and firewall from this machine: `curl -sS BASE_URL/models`."


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    connection = _hurried(turn_policies(subject.settings, subject.pipe_id).connection)
    address = base_url(subject.settings.BASE_URL)
    found = [_host(subject), _packages(), _settings(subject), *_key(subject), address]
    if address.status == "failed":
        why = "BASE_URL cannot be used"
        skipped = [_LIST.skipped(name, why) for name in ("catalogue", "key accepted", "clock")]
        return [*found, rules.check(subject, None), *skipped]
    look = await look_at_key(subject.clients, connection, subject.now)
    catalogue, cards = await _catalogue(subject, connection)
    return [*found, catalogue, rules.check(subject, cards), _accepted(subject, look), _clock(look)]


def _hurried(connection: Connection) -> Connection:
    """The same, for somebody who waits for the result."""
    return attrs.evolve(
        connection,
        connect_timeout=min(connection.connect_timeout, _CONNECT),
        read_timeout=min(connection.read_timeout, _READ),
        total_timeout=min(connection.total_timeout or _TOTAL, _TOTAL),
    )


def _host(subject: Subject) -> Check:
    name, oldest = "host version", ".".join(map(str, OLDEST_HOST))
    if not subject.host_version:
        return _LIST.skipped(
            name,
            "no Open WebUI in this Python",
            "Run this with the Python of Open WebUI to see its version and valves.",
        )
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", subject.host_version)
    version = tuple(int(number) for number in numbers.groups()) if numbers else ()
    if not any(version):
        return _LIST.warning(name, f"Open WebUI says {subject.host_version!r}", f"Use a release, {oldest} or newer.")
    if version < OLDEST_HOST:
        return _LIST.failed(name, f"Open WebUI {subject.host_version}", f"Update Open WebUI to {oldest} or newer.")
    return _LIST.ok(name, f"Open WebUI {subject.host_version} ({oldest} or newer is needed)")


def _packages() -> Check:
    missing = [wanted for name, wanted in REQUIREMENTS.items() if importlib.util.find_spec(name) is None]
    if missing:
        return _LIST.failed("packages", f"missing: {', '.join(missing)}", f"python -m pip install {' '.join(missing)}")
    return _LIST.ok("packages", f"{len(REQUIREMENTS)} of {len(REQUIREMENTS)} are installed")


def _settings(subject: Subject) -> Check:
    wrong = {name: why for name, why in subject.problems.items() if name != "API_KEY"}
    if wrong:
        told = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        return _LIST.failed("settings", told, "Correct these settings; docs/valves.md lists names and bounds.")
    return _LIST.ok("settings", f"from {subject.source}; {len(subject.chosen)} differ from the built-in defaults")


def _key(subject: Subject) -> list[Check]:
    problem = subject.problems.get("API_KEY")
    key = subject.settings.API_KEY.reveal().strip()
    if problem:
        restore = "Restore the WEBUI_SECRET_KEY under which it was saved, or enter the key again in the pipe's valves."
        return [
            _LIST.ok("key present", "API_KEY is set"),
            _LIST.failed("key decryptable", f"API_KEY {problem}", restore),
        ]
    if not key:
        return [
            _LIST.failed(
                "key present",
                "neither OPENROUTER_API_KEY nor the valve API_KEY is set",
                "Make a key at https://openrouter.ai/settings/keys and set OPENROUTER_API_KEY or the valve API_KEY.",
            ),
            _LIST.skipped("key decryptable", "there is no key"),
        ]
    return [
        _LIST.ok("key present", f"API_KEY is set ({len(key)} characters)"),
        _LIST.ok("key decryptable", "it can be read"),
    ]


def base_url(address: str) -> Check:
    """Whether the address is one to send a key to: https, or this machine."""
    name, example = "BASE_URL", "for example https://openrouter.ai/api/v1"
    try:
        parts = urlsplit(address.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return _LIST.failed(name, "it cannot be read as an address", f"Set a whole address, {example}.")
    if parts.scheme not in {"http", "https"} or not host:
        return _LIST.failed(name, "it is not a whole http(s) address", f"Set a whole address, {example}.")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.username or parts.password:
        return _LIST.warning(name, f"{shown} has credentials in it; they are not sent", "Remove them from BASE_URL.")
    if parts.scheme == "http" and not _is_loopback(host):
        return _LIST.failed(name, f"{shown}: the key and all chats would travel unencrypted", f"Use https, {example}.")
    return _LIST.ok(name, shown)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _catalogue(subject: Subject, connection: Connection) -> tuple[Check, tuple[ModelCard, ...] | None]:
    service = CatalogService(OpenRouterCatalog(subject.clients), SystemClock())
    try:
        catalog = await service.current(connection, 3600.0, insist=True)
    except CatalogUnavailableError as error:
        fault = error.fault
        answered = f"answered with status {fault.status}: {fault.message}" if fault.status else fault.message
        return _LIST.failed("catalogue", f"{connection_name(subject)} {answered}", _REACH), None
    finally:
        await service.close()
    selection = turn_policies(subject.settings, subject.pipe_id).selection
    offered = exposed(catalog, selection)
    if not offered:
        nothing = _LIST.failed(
            "catalogue",
            f"{len(catalog.cards)} models, none of them on offer",
            "Nothing passes MODEL_ID, FREE_MODEL_FILTER and TOOL_CALLING_FILTER; set them to auto and all.",
        )
        return nothing, catalog.cards
    return _LIST.ok("catalogue", f"{len(catalog.cards)} models, {len(offered)} on offer"), catalog.cards


def connection_name(subject: Subject) -> str:
    """The provider's host, without anything secret."""
    return urlsplit(subject.settings.BASE_URL.strip()).hostname or "the provider"


def _accepted(subject: Subject, look: KeyLook) -> Check:
    name = "key accepted"
    if not subject.settings.API_KEY:
        return _LIST.skipped(name, "there is no key that could be read")
    match look.status:
        case None:
            return _LIST.failed(name, f"no answer: {look.trouble}", _REACH)
        case 401 | 403:
            return _LIST.failed(
                name,
                f"the provider refuses the key (status {look.status})",
                "Check the key at https://openrouter.ai/settings/keys: it may be mistyped, deleted, disabled or expired.",
            )
        case 402:
            return _LIST.failed(
                name, "the account has no credits (402)", "Add credits at openrouter.ai/settings/credits."
            )
        case 404 | 405:
            return _LIST.warning(
                name,
                f"the address has no /key endpoint (status {look.status}); a gateway perhaps",
                "Send one message: `openrouter-pipe validate` shows whether the key is accepted.",
            )
        case status if status >= 300:
            return _LIST.failed(name, f"the provider answered with status {status}", f"Try again later. {_REACH}")
    return _LIST.ok(name, "the provider accepts the key")


def _clock(look: KeyLook) -> Check:
    if look.skew is None:
        reason = FaultKind.CONNECTION.value if look.status is None else "no Date header"
        return _LIST.skipped("clock", f"the provider does not tell the time ({reason})")
    seconds = abs(look.skew)
    told = f"this machine's clock is {seconds:.0f} s {'ahead of' if look.skew > 0 else 'behind'} the provider's"
    remedy = "Set the clock and keep it set: `timedatectl status`, chrony or systemd-timesyncd."
    if seconds > _SKEW_FAILS:
        return _LIST.failed("clock", told, remedy)
    if seconds > _SKEW_WARNS:
        return _LIST.warning("clock", told, remedy)
    return _LIST.ok("clock", "it agrees with the provider's")
