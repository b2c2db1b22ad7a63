"""The subcommands that look at an installation, doctor, validate and rules: their options and help. What they do is imported
when they run."""

from __future__ import annotations

import argparse
import os
from typing import Final

from openrouter_pipe.composition.assignments import assignments
from openrouter_pipe.composition.cli_parts import Subcommands, add_command, add_setting

DOCTOR: Final = """\
Examines this installation: the checklists of the production-readiness report, each line with what was seen and what to do.

  openrouter-pipe doctor                     settings from the environment
  openrouter-pipe doctor --from host         settings as Open WebUI holds them (run it with the Python of Open WebUI)
  openrouter-pipe doctor --json --strict     for monitors
  openrouter-pipe doctor --set MODEL_ID=openai/gpt-5  as it would be with another setting

It changes nothing. It asks the provider for the key's state and the catalogue; no model is asked, nothing costs anything.
"""
DOCTOR_EPILOG: Final = """\
Exit status: 0 nothing failed, 1 warnings (with --strict only), 2 something failed, or the command was wrong.
Secrets come from variables, never from arguments: OPENROUTER_API_KEY, ARTIFACT_ENCRYPTION_KEY,
ARTIFACT_ENCRYPTION_PREVIOUS_KEYS, SESSION_LOG_ZIP_PASSWORD; SESSION_LOG_* settings may be variables too.
Colours appear on terminals only; NO_COLOR switches them off.
"""

VALIDATE: Final = """\
Tries what users do, with this configuration: catalogue, streamed chat, tool call, image, file, two-turn replay, error
templates, session log. Each line is a real turn; the errors always come from a simulator.

  openrouter-pipe validate --simulate        the simulator answers; nothing leaves this machine
  openrouter-pipe validate                   OpenRouter answers: five short turns, usually less than a cent
  openrouter-pipe validate --model x-ai/grok-4.3  with this model (default: one that can do all that is tried)
  openrouter-pipe validate --from host       settings as Open WebUI holds them (run it with the Python of Open WebUI)

Stored artifacts and archives of the run are removed at its end.
"""
VALIDATE_EPILOG: Final = """\
Exit status: 0 nothing failed, 1 something failed, 2 the command was wrong.
Secrets come from variables, never from arguments, as for `openrouter-pipe doctor`. Colours and progress appear on terminals
only; NO_COLOR switches colours off.
"""

RULES: Final = """\
Shows the rules by model (MODEL_RULES) as they are read; for one model, which of them hold and what is sent by them.

  openrouter-pipe rules                            every rule
  openrouter-pipe rules anthropic/claude-opus-4.8  those for this model
  openrouter-pipe rules openrouter/auto            a router: whatever any model that may answer is bound to
  openrouter-pipe rules --from host                the rules as Open WebUI holds them (with the Python of Open WebUI)

Nothing is sent, the catalogue is not asked.
"""
RULES_EPILOG: Final = """\
Exit status: 0 fine, 1 the rules leave this model no provider, 2 they cannot be read, or the command was wrong.
"""


def add(commands: Subcommands) -> None:
    """The subcommands of this module."""
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        help="examine this installation: what is wrong, and what to do",
        description=DOCTOR,
        epilog=DOCTOR_EPILOG,
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object, for monitors")
    doctor.add_argument("--strict", action="store_true", help="exit with 1 when there are warnings")
    _add_examined(doctor)
    validate = add_command(
        commands,
        "validate",
        _validate,
        help="try what users do: chat, tools, files, replay, errors",
        description=VALIDATE,
        epilog=VALIDATE_EPILOG,
    )
    validate.add_argument("--simulate", action="store_true", help="let the simulated OpenRouter answer")
    validate.add_argument("--model", default="", help="model id to ask (default: a suitable one of those on offer)")
    validate.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    _add_examined(validate)
    rules = add_command(
        commands,
        "rules",
        _rules,
        help="show the rules by model (MODEL_RULES), and what they come to for one",
        description=RULES,
        epilog=RULES_EPILOG,
    )
    rules.add_argument("model", nargs="?", default="", metavar="MODEL", help="only the rules for this model id")
    rules.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    _add_examined(rules)


def _add_examined(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        choices=("auto", "host", "environment"),
        default="auto",
        dest="source",
        help="where settings come from (default: the host's valves where Open WebUI and its database are at hand)",
    )
    parser.add_argument("--pipe-id", default="openrouter", help="the function's id in the host (default: %(default)s)")
    add_setting(parser, "a setting without secret, over the others; repeatable")


def _doctor(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.doctor_command import DoctorOptions, run_doctor

    chosen = DoctorOptions(options.pipe_id, assignments(options.settings), options.source, options.json, options.strict)
    return run_doctor(chosen, os.environ, make_console())


def _validate(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.validate import ValidateOptions, run_validate

    chosen = ValidateOptions(
        options.pipe_id,
        assignments(options.settings),
        options.source,
        options.simulate,
        options.model,
        options.json,
    )
    return run_validate(chosen, os.environ, make_console())


def _rules(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.rules_command import RulesOptions, run_rules

    chosen = RulesOptions(options.model, options.pipe_id, assignments(options.settings), options.source, options.json)
    return run_rules(chosen, os.environ, make_console())
