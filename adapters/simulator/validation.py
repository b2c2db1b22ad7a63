"""Judging one request body: JSON, schema, model, rules, in the order in which the provider answers.

What lives here: ``Validator``. Not here: the schema and the rules themselves (``schema``, ``rules``).
"""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from openrouter_pipe.adapters.simulator.catalogue import Catalogue
from openrouter_pipe.adapters.simulator.errors import ErrorReply, invalid_prompt, plain_error
from openrouter_pipe.adapters.simulator.rules import find_model, refusal
from openrouter_pipe.adapters.simulator.schema import SchemaJudge, load_judge
from openrouter_pipe.adapters.simulator.turn import Turn, read_turn

Json = dict[str, Any]

# Above this size a body is judged in a thread: the schema takes milliseconds per hundred kilobytes.
_THREAD_ABOVE = 65_536


class Validator:
    """Judges bodies. schema_path: see ``SimulatorConfig``; the document is read once, with the first request."""

    def __init__(self, schema_path: Path | None) -> None:
        self._schema_path = schema_path
        self._judge: SchemaJudge | None = None

    async def judge(self, wire: str, raw: bytes, catalogue: Catalogue) -> tuple[Turn, Json] | ErrorReply:
        """The request read, with its catalogue model; or the provider's refusal."""
        try:
            body = orjson.loads(raw)
        except ValueError:
            return plain_error(400, "Invalid JSON in request body")
        if not isinstance(body, dict):
            return self._unfit(wire, [{"code": "invalid_type", "path": [], "message": "expected object"}])
        if issues := await self._issues(wire, body, len(raw)):
            return self._unfit(wire, issues)
        turn = read_turn(wire, body)
        entry = find_model(turn, catalogue)
        if isinstance(entry, ErrorReply):
            return entry
        return refusal(turn, entry) or (turn, entry)

    async def _issues(self, wire: str, body: Json, size: int) -> list[Json]:
        if self._schema_path is None:
            return []
        if self._judge is None:
            self._judge = await asyncio.to_thread(load_judge, self._schema_path)
        if size > _THREAD_ABOVE:
            return await asyncio.to_thread(self._judge.issues, wire, body)
        return self._judge.issues(wire, body)

    def _unfit(self, wire: str, issues: list[Json]) -> ErrorReply:
        if wire == "responses":
            return invalid_prompt(issues)
        named = "; ".join(f"{'.'.join(str(part) for part in issue['path'])}: {issue['message']}" for issue in issues)
        return plain_error(400, f"Invalid request parameters: {named}")
