"""The results as a table on the terminal, and as a page with a plot."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_figures import Check, Figure
from rich.console import Console
from rich.table import Table

_STYLES = {"met": "green", "missed": "bold red", "skipped": "yellow", "shown": "dim"}


def print_table(result: dict[str, Any], figures: Sequence[Figure]) -> None:
    """The table, then what was wrong, then the verdict in one line."""
    console = Console()
    table = Table(title="openrouter-pipe against its floors", title_justify="left", pad_edge=False)
    for name, justify in (("figure", "left"), ("value", "right"), ("floor", "right"), ("ratio", "right")):
        table.add_column(name, justify=justify, overflow="fold")
    table.add_column("target", overflow="fold")
    table.add_column("", no_wrap=True)
    for figure in figures:
        style = _STYLES[figure.verdict]
        targets = "; ".join(map(_target, figure.checks)) or figure.skipped
        table.add_row(
            figure.title, _amount(figure.value, figure.unit) if figure.runs else "-", _floor(figure), _ratio(figure), targets,
            f"[{style}]{figure.verdict}[/{style}]",
        )  # fmt: skip
    console.print(table)
    for figure in figures:
        if figure.note:
            console.print(f"[dim]{figure.key}: {figure.note}[/dim]", soft_wrap=True)
    for line in result["wrong"]:
        console.print(f"[bold red]wrong:[/bold red] {line}", soft_wrap=True, markup=True)
    console.print(_machine(result["machine"]), soft_wrap=True, style="dim")
    console.print(_summary(result, figures), soft_wrap=True)


def write_report(path: Path, result: dict[str, Any], figures: Sequence[Figure]) -> None:
    """``docs/performance.md`` and, beside it, ``performance.svg``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".svg").write_text(_plot(figures), encoding="utf-8")
    path.write_text(_page(result, figures), encoding="utf-8")


def _page(result: dict[str, Any], figures: Sequence[Figure]) -> str:
    lines = [
        "# Performance",
        "",
        "Written by `bench.py --report`; `make bench` measures again and prints the same table.",
        "",
        "A load source in its own process plays pre-encoded streams of about 165 bytes per event on loopback. A process with"
        " the heap of an Open WebUI server reads them through the bundle, as the host does, and with bare clients: the"
        " *floor* is the fastest client with the httpx API that only receives, splits and decodes. Times are CPU times"
        " of the process unless the figure says otherwise, medians of several runs.",
        "",
        _machine(result["machine"]) + ".",
        "",
        "![Every figure against its target](performance.svg)",
        "",
        "| Figure | Value | Floor | Ratio | Target | |",
        "|---|--:|--:|--:|---|---|",
    ]
    for figure in figures:
        targets = "; ".join(map(_target, figure.checks)) or figure.skipped
        value = _amount(figure.value, figure.unit) if figure.runs else "-"
        lines.append(
            f"| {figure.title} | {value} | {_floor(figure)} | {_ratio(figure)} | {targets} | {figure.verdict} |"
        )
    lines += ["", _summary(result, figures), "", "## Notes", ""]
    lines += [f"- **{figure.title}**: {figure.note}" for figure in figures if figure.note]
    return "\n".join(lines) + "\n"


def _plot(figures: Sequence[Figure]) -> str:
    """One bar per target, as long as what was measured in parts of the target; the line is the target."""
    bars = [(figure, check) for figure in figures for check in figure.checks if check.limit > 0]
    width, left, row, top = 860, 400, 22, 34
    scale, most = 160, 2.6
    height = top + row * len(bars) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="18" fill="#555555">measured, as part of its target (the line)</text>',
    ]
    for number, (figure, check) in enumerate(bars):
        y = top + number * row
        part = check.measured / check.limit
        length = max(2.0, min(part, most) * scale)
        colour = "#2e7d32" if check.met else "#c62828"
        title = figure.title if check.what == "value" else f"{figure.title} ({check.what})"
        label = f"{_number(check.measured)} of {_number(check.limit)} {check.unit}".strip()
        parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end" fill="#222222">{html.escape(title)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 1}" width="{length:.1f}" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 12}" fill="#222222">{html.escape(label)}</text>')
    line = left + scale
    parts.append(
        f'<line x1="{line}" y1="{top - 8}" x2="{line}" y2="{height - 8}" stroke="#000000" stroke-dasharray="3 3"/>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _summary(result: dict[str, Any], figures: Sequence[Figure]) -> str:
    verdicts = [figure.verdict for figure in figures]
    told = "every answer said what was sent" if not result["wrong"] else f"{len(result['wrong'])} ANSWERS DIFFER"
    missed = ", ".join(figure.key for figure in figures if figure.verdict == "missed")
    counted = f"{verdicts.count('met')} targets met, {verdicts.count('missed')} missed" + (
        f" ({missed})" if missed else ""
    )
    return f"{counted}; {result['answers']} answers compared, {told}; {result['seconds']:.0f} s."


def _machine(machine: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"Python {machine['python']}, {machine['cores']} cores, {machine['loop']}, heap {machine['heap_mb']} MB,"
        f" {machine['mode']} mode, pipe's transport: {machine['transport']}; {libraries}"
    )


def _target(check: Check) -> str:
    name = "" if check.what == "value" else f"{check.what} {_number(check.measured)} "
    return f"{name}≤ {_number(check.limit)} {check.unit}".rstrip()


def _floor(figure: Figure) -> str:
    return _amount(figure.floor, figure.unit) if figure.floor_runs else ""


def _ratio(figure: Figure) -> str:
    return f"{figure.ratio:.2f}" if figure.ratio else ""


def _amount(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
