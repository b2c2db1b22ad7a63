"""`openrouter-pipe completion SHELL`: a static script that completes subcommands, options, files and settings.

shtab writes it from the parser; here is what it cannot know: which options take settings, files and folders, and, for bash,
that a word with `=` in it is one word.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from openrouter_pipe.composition.cli_parts import Subcommands, add_command, complain

COMPLETION: Final = """\
Prints a completion script for a shell: subcommands, options, files, and the names and choices of settings behind --set.

  openrouter-pipe completion bash > ~/.local/share/bash-completion/completions/openrouter-pipe
  openrouter-pipe completion zsh > ~/.zsh/completions/_openrouter-pipe     a folder of fpath, before compinit runs
  openrouter-pipe completion fish > ~/.config/fish/completions/openrouter-pipe.fish

A new shell knows it. The script is static; write it again after an update.
"""
SHELLS: Final = ("bash", "zsh", "fish")
FOLDERS: Final = frozenset({"data_dir", "dir", "to"})
"""Options that take a folder; others of type Path take a file."""

_Completer: TypeAlias = "dict[str, str | dict[str, str]]"

_BASH: Final = """
_openrouter_pipe_values() {
  case "$1" in
%(cases)s
  esac
}

# bash splits words at `=`; here NAME=VALUE is one word, and what is completed is what stands behind its `=`.
_openrouter_pipe() {
  local -a joined=()
  local at word current=0
  for at in "${!COMP_WORDS[@]}"; do
    word="${COMP_WORDS[at]}"
    if (( at > 1 )) && [[ "$word" == "=" || "${COMP_WORDS[at-1]}" == "=" ]]; then
      joined[${#joined[@]}-1]+="$word"
    else
      joined+=("$word")
    fi
    (( at == COMP_CWORD )) && current=$(( ${#joined[@]} - 1 ))
  done
  local -a COMP_WORDS=("${joined[@]}")
  local COMP_CWORD=$current
  word="${COMP_WORDS[COMP_CWORD]}"
  if [[ "${COMP_WORDS[COMP_CWORD-1]}" == --set && "$word" == *=* ]]; then
    COMPREPLY=($(compgen -W "$(_openrouter_pipe_values "${word%%%%=*}")" -- "${word#*=}"))
    return
  fi
  %(function)s
  if [[ "${COMPREPLY[0]-}" == *= ]]; then
    compopt -o nospace +o filenames 2>/dev/null
  fi
}

complete -o filenames -F _openrouter_pipe openrouter-pipe
"""


def add(commands: Subcommands) -> None:
    """The subcommand of this module."""
    parser = add_command(
        commands,
        "completion",
        _completion,
        help="print a completion script for bash, zsh or fish",
        description=COMPLETION,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell to write for")


def _completion(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("shtab") is None:
        complain("the Python package shtab is missing: python -m pip install 'openrouter-pipe[completion]'")
        return 2
    from openrouter_pipe.composition.cli import make_parser

    sys.stdout.write(script(make_parser(), options.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of `SHELLS`."""
    import shtab

    from openrouter_pipe.ports.settings import SETTINGS, Kind

    values = {
        setting.name: setting.choices or (("true", "false") if setting.kind is Kind.BOOL else ())
        for setting in SETTINGS
        if not setting.secret  # secrets do not belong on a command line
    }
    _mark(parser, _settings(tuple(values)), shtab.FILE, shtab.DIRECTORY)
    written = str(shtab.complete(parser, shell))
    if shell != "bash":
        return written
    function = f"_shtab_{parser.prog.replace('-', '_')}"
    cases = "\n".join(f"    {name}) echo {' '.join(known)} ;;" for name, known in values.items() if known)
    kept, _, _ = written.rpartition("\ncomplete ")
    return kept + _BASH % {"cases": cases, "function": function}


def _mark(
    parser: argparse.ArgumentParser,
    settings: _Completer,
    files: Mapping[str, object],
    folders: Mapping[str, object],
) -> None:
    """Tell shtab, by the attribute that it looks for, what the arguments of a parser and those below it complete to."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to look at a parser
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            for name, child in action.choices.items():
                child.description = helps[name]  # zsh and fish show it beside the name
                _mark(child, settings, files, folders)
        elif action.dest == "settings":
            vars(action)["complete"] = settings
        elif action.dest in FOLDERS or action.metavar == "FOLDER":
            vars(action)["complete"] = folders
        elif action.type is Path or action.dest == "target":
            vars(action)["complete"] = files


def _settings(names: tuple[str, ...]) -> _Completer:
    """What completes the name of a setting, with its `=`, in each shell."""
    listed = " ".join(names)
    return {
        "bash": "_openrouter_pipe_settings",
        "zsh": "_openrouter_pipe_settings",
        "fish": "(_openrouter_pipe_settings)",
        "preamble": {
            "bash": f'_openrouter_pipe_settings() {{\n  compgen -S = -W "{listed}" -- "$1"\n}}',
            "zsh": f"_openrouter_pipe_settings() {{\n  local -a names=({listed})\n  compadd -S = -a names\n}}",
            "fish": f"function _openrouter_pipe_settings\n  printf '%s=\\n' {listed}\nend",
        },
    }
