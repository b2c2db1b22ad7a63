"""Telemetry: metrics, the export of costs, and which identifiers leave."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from openrouter_pipe.adapters.observability.prometheus import is_available
from openrouter_pipe.composition.checks.result import Check, Checklist, Group, Subject
from openrouter_pipe.composition.metrics import FOLDER_VARIABLE
from openrouter_pipe.composition.redis import plan

_LIST: Final = Checklist(Group.TELEMETRY)
_IDENTIFIERS: Final = ("SEND_END_USER_ID", "SEND_SESSION_ID", "SEND_CHAT_ID", "SEND_MESSAGE_ID")


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    folder = subject.environment.get(FOLDER_VARIABLE, "").strip()
    return [await asyncio.to_thread(_folder, folder), _library(folder), _costs(subject), _identifiers(subject)]


def _folder(folder: str) -> Check:
    name = "metrics directory"
    if not folder:
        return _LIST.skipped(
            name, f"{FOLDER_VARIABLE} is not set: no metrics", f"Set {FOLDER_VARIABLE} to have metrics."
        )
    path = Path(folder)
    nearest = next((one for one in (path, *path.absolute().parents) if one.exists()), path)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        told = f"{path} cannot be written by this account"
        return _LIST.failed(name, told, f"Make {FOLDER_VARIABLE} a directory that Open WebUI's account may write to.")
    return _LIST.ok(name, f"{path} can be written" if path.is_dir() else f"{path} will be made at the first request")


def _library(folder: str) -> Check:
    if not folder:
        return _LIST.skipped("metrics library", "no metrics are asked for")
    if not is_available():
        remedy = "python -m pip install prometheus-client"
        return _LIST.failed("metrics library", "the Python package prometheus-client is not installed", remedy)
    return _LIST.ok("metrics library", "prometheus-client is installed")


def _costs(subject: Subject) -> Check:
    if not subject.settings.COSTS_REDIS_DUMP:
        return _LIST.skipped("cost export", "COSTS_REDIS_DUMP is off")
    now = plan(subject.environment, subject.settings)
    if not now.active:
        remedy = "Meet the prerequisites of Redis (multi-worker), or switch COSTS_REDIS_DUMP off."
        return _LIST.warning(
            "cost export", f"COSTS_REDIS_DUMP is on, but nothing is exported: {'; '.join(now.missing)}", remedy
        )
    return _LIST.ok("cost export", f"snapshots stay in Redis for {subject.settings.COSTS_REDIS_TTL_SECONDS} s")


def _identifiers(subject: Subject) -> Check:
    sent = [name for name in _IDENTIFIERS if getattr(subject.settings, name)]
    told = f"sent to the provider by {', '.join(sent)}" if sent else "none are sent to the provider"
    return _LIST.ok("identifiers", told)
