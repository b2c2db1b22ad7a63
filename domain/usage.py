"""Usage: the sum over the rounds of a turn, and the last status line. Prices are the provider's, never ours."""

from __future__ import annotations

from openrouter_pipe.ports.telemetry import Usage

DONE = "Done"
"""The last line where usage is not to be shown."""


def add(total: Usage | None, more: Usage | None) -> Usage | None:
    """The sum of what two stretches of a turn used; ``raw`` is the later one's."""
    if total is None or more is None:
        return total if more is None else more
    costs = [cost for cost in (total.cost, more.cost) if cost is not None]
    return Usage(
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        total_tokens=total.total_tokens + more.total_tokens,
        cached_tokens=total.cached_tokens + more.cached_tokens,
        cache_write_tokens=total.cache_write_tokens + more.cache_write_tokens,
        reasoning_tokens=total.reasoning_tokens + more.reasoning_tokens,
        cost=sum(costs) if costs else None,
        rounds=total.rounds + more.rounds,
        raw=more.raw or total.raw,
    )


def final_status(usage: Usage | None, seconds: float, streaming_seconds: float) -> str:
    """The last line: ``Time: 12.3s 45.6 tps | Cost $0.00123 | Total tokens: 123 (Input: 100, …)``.

    ``seconds`` is the whole turn, ``streaming_seconds`` the part in which the provider was at work and to which the
    tokens per second refer, so that waiting for tools does not lower them. Figures of zero are left out.
    """
    time = f"Time: {seconds:.1f}s"
    if usage is None:
        return time
    if usage.output_tokens > 0 and streaming_seconds > 0:
        time += f" {usage.output_tokens / streaming_seconds:.1f} tps"
    return " | ".join(part for part in (time, _cost(usage.cost), _tokens(usage)) if part)


def _cost(cost: float | None) -> str:
    digits = f"{cost or 0.0:.6f}".rstrip("0").rstrip(".")
    return "" if digits in {"0", "-0"} else f"Cost ${digits}"


def _tokens(usage: Usage) -> str:
    total = usage.total_tokens or usage.input_tokens + usage.output_tokens
    if total <= 0:
        return ""
    details = ", ".join(
        f"{name}: {count}"
        for name, count in (
            ("Input", usage.input_tokens),
            ("Output", usage.output_tokens),
            ("Cached", usage.cached_tokens),
            ("Reasoning", usage.reasoning_tokens),
        )
        if count > 0
    )
    return f"Total tokens: {total}" + (f" ({details})" if details else "")
