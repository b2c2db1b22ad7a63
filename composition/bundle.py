"""Writes the bundle: one function file with every module that the pipe needs, for hosts without the package.

The file is the loader's source, the modules in two compressed parts (what loading the function takes, and the rest), and
one line that makes class ``Pipe``. Same sources, same bytes. Open WebUI replaces four pieces of text in whatever it loads;
the writer refuses to produce a file that holds one of them, or a module that the loader could not load under its private
name.

Usage: python -m openrouter_pipe.composition.bundle [--output dist/openrouter_pipe.py]
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import inspect
import json
import lzma
import os
import re
import sys
from collections.abc import Container, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from openrouter_pipe.composition import bundle_entry, bundle_loader

PACKAGE: Final = "openrouter_pipe"
ENTRY: Final = "composition.bundle_entry"
FIRST: Final = (ENTRY, "adapters.openwebui")
"""What the host's loading of the function imports."""
REWRITTEN: Final = tuple(f"from {word}" for word in ("utils", "apps", "main", "config"))
"""What Open WebUI replaces wherever it stands."""

_ROOT: Final = Path(__file__).resolve().parent.parent
_WIDTH: Final = 116
_SLACK: Final = 4096
"""Room for the digits that an index grows by when it is moved; blanks, which compress to nothing."""
_FILTERS: Final = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


class BundleError(Exception):
    """The bundle cannot be made from these sources; says which module and why."""


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m openrouter_pipe.composition.bundle", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("dist/openrouter_pipe.py"),
        help="file to write (default: %(default)s)",
    )
    target: Path = parser.parse_args(arguments).output
    try:
        content = render(collect(_ROOT))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that nobody ever reads half a file.
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        draft.write_text(content, encoding="utf-8")
        draft.replace(target)
    except (BundleError, OSError) as error:
        sys.stderr.write(f"no bundle was written: {error}\n")
        return 1
    sys.stdout.write(f"wrote {target} ({len(content) // 1024} KiB)\n")
    return 0


def collect(root: Path) -> dict[str, str]:
    """The source of every module that the entry can reach, by name without the package's own; packages end in a dot."""
    found: dict[str, str] = {}
    waiting = [ENTRY]
    while waiting:
        name = waiting.pop()
        path, key = _locate(root, name)
        if path is None:
            raise BundleError(f"{PACKAGE}.{name} is imported but not below {root}")
        if key in found:
            continue
        found[key] = path.read_text(encoding="utf-8")
        waiting.extend(_imports(root, found[key], key))
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return dict(sorted(found.items()))


def _locate(root: Path, name: str) -> tuple[Path | None, str]:
    base = root.joinpath(*name.split("."))
    if base.with_suffix(".py").is_file():
        return base.with_suffix(".py"), name
    if (base / "__init__.py").is_file():
        return base / "__init__.py", name + "."
    return None, name


def _imports(root: Path, source: str, key: str, *, at_once: bool = False) -> Iterator[str]:
    """The modules of ours that a module imports; with ``at_once`` only those that loading it loads."""
    tree = ast.parse(source, key)
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == PACKAGE for alias in node.names):
            raise BundleError(f"{key}, line {node.lineno}: write `from {PACKAGE}... import ...` instead of `import`")
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            raise BundleError(f"{key}, line {node.lineno}: relative imports are not bundled")
        package, _, name = (node.module or "").partition(".")
        if package == PACKAGE:
            yield name
            submodules = (f"{name}.{alias.name}" for alias in node.names)
            yield from (submodule for submodule in submodules if _locate(root, submodule)[0])


def first(modules: Mapping[str, str]) -> frozenset[str]:
    """The keys of the modules that are loaded with the function. A guess costs time only: the other part is there, too."""
    found: set[str] = set()
    waiting = list(FIRST)
    while waiting:
        name = waiting.pop()
        key = name if name in modules else f"{name}."
        if key in modules and key not in found:
            found.add(key)
            waiting.extend(_imports(_ROOT, modules[key], key, at_once=True))
            if "." in name:
                waiting.append(name.rpartition(".")[0])
    return frozenset(found)


def render(modules: Mapping[str, str]) -> str:
    """The text of the function file."""
    loader = inspect.getsource(bundle_loader)
    digest = hashlib.sha256(json.dumps([loader, dict(modules)]).encode()).hexdigest()[:12]
    root = f"{PACKAGE}_{digest}"
    table = {
        f"{root}.{key}".strip("."): (key.endswith("."), renamed(source, root, key)) for key, source in modules.items()
    }
    table[root] = (True, f'"""openrouter-pipe {_version()}, unpacked from a bundle."""\n')
    at_once = {f"{root}.{key}".strip(".") for key in first(modules)} | {root}
    parts = ",\n".join(f"(\n{_packed(part)}\n)" for part in _parts(table, at_once))
    content = (
        f"{_front_matter()}\n{_without_docstring(loader)}\n\n"
        f"Pipe = load_bundle({root!r}, {ENTRY!r}, (\n{parts},\n)).pipe_class(__name__)\n"
    )
    _check(content, table)
    return content


def _parts(table: Mapping[str, tuple[bool, str]], at_once: Container[str]) -> list[bytes]:
    """The two parts; see `BundleLoader` for their form."""
    bodies = [bytearray(), bytearray()]
    places: dict[str, tuple[bool, int, int, int]] = {}
    for name, (is_package, source) in sorted(table.items()):
        number = 0 if name in at_once else 1
        start = len(bodies[number])
        bodies[number] += source.encode()
        places[name] = (is_package, number, start, len(bodies[number]))
    # The index stands before the sources of the first part, whose places it therefore moves: by a fixed width.
    width = len(json.dumps(places)) + _SLACK
    moved = {
        name: (is_package, number, start + (0 if number else width), end + (0 if number else width))
        for name, (is_package, number, start, end) in places.items()
    }
    head = json.dumps(moved).encode().ljust(width - 1) + b"\n"
    if len(head) != width:
        raise BundleError("the index of the modules has no room; raise _SLACK")
    return [head + bodies[0], bytes(bodies[1])]


def _packed(part: bytes) -> str:
    packed = base64.b64encode(lzma.compress(part, lzma.FORMAT_XZ, filters=_FILTERS)).decode()
    return "\n".join(f"    {packed[start : start + _WIDTH]!r}," for start in range(0, len(packed), _WIDTH))


def renamed(source: str, root: str, key: str) -> str:
    """The source with its own imports under ``root``; lines stay where they are."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source, key)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            line, place = node.lineno - 1, node.col_offset
            # col_offset counts bytes, but nothing but blanks stands before a statement.
            head, tail = lines[line][:place], lines[line][place:]
            lines[line] = head + re.sub(rf"^from(\s+){PACKAGE}\b", rf"from\1{root}", tail)
    changed = "".join(lines)
    for node in ast.walk(ast.parse(changed, key)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            raise BundleError(f"{key}, line {node.lineno}: this import cannot be renamed; put it on a line of its own")
    return changed


def _check(content: str, table: Mapping[str, tuple[bool, str]]) -> None:
    for words in REWRITTEN:
        if words in content:
            raise BundleError(f"the file would hold {words!r}, which Open WebUI replaces")
    for name, (_, source) in table.items():
        compile(source, name, "exec", dont_inherit=True)


def _front_matter() -> str:
    return (
        '"""\n'
        "title: OpenRouter\n"
        "author: The openrouter-pipe authors\n"
        f"version: {_version()}\n"
        "license: MIT\n"
        "description: Every model of OpenRouter in Open WebUI, with reasoning, tools, files and clear errors.\n"
        "required_open_webui_version: 0.6.28\n"
        f"requirements: {', '.join((*bundle_entry.REQUIREMENTS.values(), *bundle_entry.FOR_SOME))}\n"
        '"""\n'
    )


def _without_docstring(source: str) -> str:
    # The file's own docstring is the front matter; `annotations` must come before any other statement of the file, and the
    # loader holds no annotation at all, so it works with the host's future flag and without.
    tree = ast.parse(source)
    start = tree.body[1]
    kept = [line for line in source.splitlines()[start.lineno - 1 :] if not line.startswith("from __future__")]
    return "\n".join(kept).strip("\n") + "\n"


def _version() -> str:
    return metadata.version("openrouter-pipe")


if __name__ == "__main__":
    raise SystemExit(main())
