"""`openrouter-pipe costs`: what the snapshots in Redis add up to, by user, model and day (UTC)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import asdict, frozen
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openrouter_pipe.adapters.redis import RedisAway, read_costs
from openrouter_pipe.composition.cli_console import make_console
from openrouter_pipe.composition.redis import redis_link
from openrouter_pipe.ports.json import JsonValue

_WIDTH: Final = 40


@frozen
class CostLine:
    """The sum of one user's snapshots of one model on one day; money in US dollars."""

    day: str
    user: str
    email: str
    model: str
    rounds: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


def add_up(snapshots: Iterable[Mapping[str, JsonValue]]) -> list[CostLine]:
    """One line per day, user and model, in this order. Values that are no numbers count as 0."""
    lines: dict[tuple[str, str, str], CostLine] = {}
    for snapshot in snapshots:
        usage = snapshot.get("usage")
        if not isinstance(usage, Mapping) or (day := _day(snapshot.get("ts"))) is None:
            continue
        user, model = _text(snapshot.get("user_id")), _text(snapshot.get("model"))
        line = lines.get((day, user, model)) or CostLine(day, user, _text(snapshot.get("email")), model)
        lines[day, user, model] = CostLine(
            day,
            user,
            line.email,
            model,
            line.rounds + 1,
            line.input_tokens + int(_number(usage.get("input_tokens", usage.get("prompt_tokens")))),
            line.output_tokens + int(_number(usage.get("output_tokens", usage.get("completion_tokens")))),
            line.cost + _number(usage.get("cost")),
        )
    return [lines[key] for key in sorted(lines)]


def run_costs(environment: Mapping[str, str], *, form: str = "table", pipe_id: str | None = None) -> int:
    """Read and print; ``form`` is ``table``, ``json`` or ``csv``. Returns the exit status."""
    if not environment.get("REDIS_URL", "").strip():
        sys.stderr.write(
            "REDIS_URL is not set: name the Redis that Open WebUI uses, for example redis://localhost:6379/0\n"
        )
        return 2
    try:
        lines = asyncio.run(_read(environment, pipe_id))
    except RedisAway as error:
        sys.stderr.write(f"Redis cannot be read ({error})\n")
        return 1
    if form == "json":
        sys.stdout.writelines(json.dumps(asdict(line)) + "\n" for line in lines)
    elif form == "csv":
        sys.stdout.write(as_csv(lines))
    else:
        _show(lines, make_console(environment))
    return 0


async def _read(environment: Mapping[str, str], pipe_id: str | None) -> list[CostLine]:
    link = redis_link(environment)
    try:
        return add_up([snapshot async for snapshot in read_costs(link, pipe_id)])
    finally:
        await link.aclose()


def as_csv(lines: Iterable[CostLine]) -> str:
    """The lines with a heading; texts that a spreadsheet would take for formulas are quoted away."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(["day", "user", "email", "model", "rounds", "input_tokens", "output_tokens", "cost_usd"])
    for line in lines:
        texts = [_harmless(text) for text in (line.day, line.user, line.email, line.model)]
        writer.writerow([*texts, line.rounds, line.input_tokens, line.output_tokens, f"{line.cost:.8f}"])
    return target.getvalue()


def _show(lines: list[CostLine], console: Console) -> None:
    if not lines:
        console.print("No cost snapshots in Redis. Are COSTS_REDIS_DUMP on, and Redis active (several workers)?")
        return
    table = Table("day", "user", "model")
    for name in ("rounds", "tokens in", "tokens out", "US$"):
        table.add_column(name, justify="right")
    for line in lines:
        numbers = (f"{line.rounds}", f"{line.input_tokens:,}", f"{line.output_tokens:,}", f"{line.cost:.4f}")
        table.add_row(line.day, escape(line.email or line.user), escape(line.model), *numbers)
    console.print(table)
    days: dict[str, float] = {}
    for line in lines:
        days[line.day] = days.get(line.day, 0.0) + line.cost
    most = max(days.values())
    for day, cost in days.items():
        console.print(f"{day}  {'█' * round(_WIDTH * cost / most) if most else ''} {cost:.4f}", highlight=False)
    console.print(f"total       US$ {sum(days.values()):.4f}", highlight=False)


def _day(value: JsonValue) -> str | None:
    seconds = _number(value)
    return datetime.fromtimestamp(seconds, UTC).date().isoformat() if 0 < seconds < 1e11 else None


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) and number >= 0 else 0.0


def _text(value: JsonValue) -> str:
    """Without anything that a terminal would obey."""
    return "".join(char for char in value if char.isprintable())[:200] if isinstance(value, str) else ""


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
