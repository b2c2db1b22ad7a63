"""`openrouter-pipe rules`, and what `doctor` and `validate` say about the rules by model."""

from __future__ import annotations

import asyncio
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.composition.checks import functional
from openrouter_pipe.composition.checks.gathering import from_environment
from openrouter_pipe.composition.checks.result import Check, Status, Subject
from openrouter_pipe.composition.cli import main
from openrouter_pipe.composition.validate import ValidateOptions, run_validate
from openrouter_pipe.ports.model_rules import parse_model_rules
from openrouter_pipe.ports.preferences import PREFERENCES

CLAUDE = {
    "models": "anthropic/*",
    "effort": "low",
    "provider": {"sort": "price"},
    "enforce": {"zdr": True, "only": ["anthropic"]},
}
OTHERS = {"models": "openai/*, x-ai/*", "max_output_tokens": 4000, "enforce": {"data_collection": "deny"}}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_API_BASE_URL", "GLOBAL_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def assigned(rules: Any) -> str:
    return "MODEL_RULES=" + (rules if isinstance(rules, str) else json.dumps(rules))


def run(rules: Any, *arguments: str) -> int:
    return main(["rules", *arguments, "--from", "environment", "--set", assigned(rules)])


def examined(rules: Any, *, address: str = "https://simulated.test/api/v1") -> Check:
    """What the doctor says about the rules."""
    text = rules if isinstance(rules, str) else json.dumps(rules)
    given = {"MODEL_RULES": text, "BASE_URL": address}
    found = from_environment(given, {})
    clients = HttpClients(partial(SimulatorTransport, create_app(SimulatorConfig())))
    subject = Subject({}, found.settings, clients, found.source, problems=found.problems)

    async def look() -> list[Check]:
        try:
            return await functional.checks(subject)
        finally:
            await clients.aclose()

    (told,) = [one for one in asyncio.run(look()) if one.name == "model rules"]
    return told


def test_every_rule_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([CLAUDE, OTHERS]) == 0
    shown = capsys.readouterr().out
    for word in ("entry 1", "entry 2", "zdr=true", "data_collection=deny", "fills in", "enforces"):
        assert word in shown
    assert run("") == 0
    assert "MODEL_RULES is empty" in capsys.readouterr().out


def test_what_holds_for_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([CLAUDE, OTHERS], "anthropic.claude-opus-4.8:online", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["why"], row["enforces"]) for row in told["rules"]] == [("matches", "zdr=true, only=anthropic")]
    assert told["sent"] == {
        "endpoint": "responses",
        "effort": "low",
        "max_output_tokens": None,
        "provider": {"sort": "price", "zdr": True, "only": ["anthropic"]},
    }
    assert run([CLAUDE], "openai/gpt-5") == 0
    assert "No rule of MODEL_RULES is about this model" in capsys.readouterr().out


def test_a_router_is_bound_to_what_any_model_is_and_filled_in_by_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([CLAUDE, OTHERS], "openrouter/auto", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["why"], row["fills_in"]) for row in told["rules"]] == [("may answer", {})] * 2
    assert told["sent"]["provider"] == {"zdr": True, "data_collection": "deny", "only": ["anthropic"]}
    assert told["sent"]["effort"] == "medium"
    assert run([CLAUDE, {"models": "x/*", "enforce": {"only": ["x"]}}], "openrouter/auto") == 1
    assert "no provider in common" in " ".join(capsys.readouterr().out.split())


def test_rules_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([{"models": "a", "enforce": {"zdr": 1}}]) == 2
    assert "MODEL_RULES: entry 1 (a): enforce.zdr must be" in capsys.readouterr().err


def test_the_doctor_tells_what_is_enforced() -> None:
    assert examined("").status is Status.OK
    told = examined([CLAUDE, OTHERS, {"models": "*", "effort": "low"}])
    assert told.status is Status.OK
    assert "3 rules, 2 of them enforce something" in told.evidence
    assert "anthropic/*: zdr=true, only=anthropic" in told.evidence


def test_the_doctor_finds_globs_that_match_nothing() -> None:
    told = examined([{"models": "antropic/*, openai/*, *:nitro", "enforce": {"zdr": True}}])
    assert told.status is Status.WARNING
    assert told.evidence.endswith("no model of the catalogue matches antropic/*")
    assert examined([{"models": "antropic/*", "effort": "low"}], address="nowhere").status is Status.OK


@pytest.mark.parametrize("address", ["https://simulated.test/api/v1", "nowhere"])
def test_the_doctor_fails_where_the_rules_cannot_be_read(address: str) -> None:
    told = examined("[{]", address=address)
    assert told.status is Status.FAILED
    assert "nothing is sent" in told.evidence
    assert "docs/catalogue.md" in told.remedy


def test_validate_sends_nothing_where_the_rules_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    options = ValidateOptions(settings={"MODEL_RULES": "[{]"}, source="environment", simulate=True)
    assert run_validate(options, {}, Console(file=io.StringIO())) == 2
    assert "MODEL_RULES: is not valid JSON" in capsys.readouterr().err


def test_the_documented_example_is_one_and_names_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    example = page.split("```json\n")[1].split("```")[0]
    rules = parse_model_rules(example)
    assert len(rules) == 3
    assert all(rule.enforce for rule in rules)
    documented = {
        cell for line in page.splitlines() if line.startswith("| `") for cell in line.split("|")[1].split("`")
    }
    assert documented >= {*PREFERENCES, "models", "effort", "max_output_tokens", "endpoint", "provider", "enforce"}
