"""Every target of make and every command of another program in the documentation is executed, in short form, in a copy.

A row of MAKE or OTHERS says how. What needs Open WebUI, package registries or minutes runs among the end-to-end tests, and the
row names the test; what CI itself runs in full is looked up in its script. Commands of `openrouter-pipe` are executed by
`test_documented_commands.py`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import httpx
import pytest
from attrs import frozen

from checkout import Checkout
from documented import OTHER_PROGRAMS, PAGES, ROOT, Documented, commands, inline
from openrouter_pipe.composition.documents_tables import make_targets

BRIEFLY = "--only idle --runs 1 --heap 0"
"""The benchmark that takes the least time."""


@frozen
class Run:
    """What a shell is given, what it must print, and the files that may and must be other afterwards."""

    command: str
    prints: str
    changes: tuple[str, ...] = ()


@frozen
class Elsewhere:
    """The test or script that executes it, by words that stand in it, and why not here."""

    file: str
    words: str
    reason: str


def end_to_end(target: str, reason: str) -> Elsewhere:
    return Elsewhere("tests/end_to_end/test_documented_targets_end_to_end.py", f"make {target}", reason)


def in_ci(target: str) -> Elsewhere:
    return Elsewhere(".ci/run", f"\nmake {target}\n", "CI runs it in full, in a fresh clone, before anything lands")


MAKE: Final[Mapping[str, Run | Elsewhere]] = {
    "help": Run("make help; make", r"(?s)make webui +\S.*make webui +\S"),
    "setup": end_to_end("setup", "asks a package registry"),
    "bundle": Run(
        "rm -r dist; make bundle; make bundle",
        r"\Awrote dist/openrouter_pipe.py \(\d+ KiB\)\n.*Nothing to be done.*\n\Z",
    ),
    "run": Run("make run", r"Two turns answered\."),
    "docs": Run("make docs; ls build/site", r"\A404.html\n(?s:.*)\nindex.html\n", ("build/site/*",)),
    "format": Run("make format", r"\A\Z", (".ruff_cache/*",)),
    "bench": Run(f'make bench BENCH="{BRIEFLY}"', "every answer said what was sent", ("build/bench.json",)),
    "bench-report": Run(
        f'make bench-report BENCH="{BRIEFLY}"',
        r"full mode(?s:.*)wrote \S+/docs/performance.md",
        ("build/bench.json", "docs/performance.md", "docs/performance.svg"),
    ),
    "profile": Run("make profile PROFILE_SECONDS=0.3", r"wrote \S+/build/flame.svg", ("build/flame.svg",)),
    "fuzz": Run("make fuzz FUZZ_SECONDS=0.1", r"(?s)urls .*, 0 failures.*\nblocks .*, 0 failures"),
    "soak": Run("make soak SOAK_SECONDS=1", r"unexplained 0 (?s:.*)verdict: passed"),
    "clean": Run(
        "for one in build .mypy_cache .ruff_cache .pytest_cache .hypothesis a.egg-info; do mkdir $one; touch $one/x; done;"
        " make clean; ls -d .venv/.installed",
        r"\A.venv/.installed\n\Z",
        ("dist/openrouter_pipe.py",),
    ),
    "wheel": end_to_end("wheel", "asks a package registry"),
    "webui": end_to_end("webui", "needs Open WebUI"),
    "chaos": end_to_end("chaos", "takes half a minute in short form"),
    "check": in_ci("check"),
    "test": in_ci("test"),
    "test-webui": in_ci("test-webui"),
}


def in_a_shell(one: Documented, checkout: Checkout) -> None:
    """Values are typed; what the shell then hands on to programs is compared."""
    names = sorted(set(re.findall(r"\b[A-Z][A-Z_]+\b", one.text)))
    words = " ".join(names)
    ready = f"{one.text}; {words.replace(' ', '=typed; ')}=typed" if one.text.startswith("export") else one.text
    done = checkout.run(f"{ready}; export {words}; env" if "read" in one.text else f"{ready}; env", typed="typed\n" * 9)
    assert {f"{name}=typed" for name in names} <= set(done.stdout.splitlines()), f"{one.where}: {done.stdout}"


def as_it_stands(one: Documented, checkout: Checkout) -> None:
    """With the environment of the project activated, as the page has it."""
    succeeds(one, checkout, one.text, " passed")


def by_pip_without_an_index(one: Documented, checkout: Checkout) -> None:
    """The development environment has all extras: pip itself finds every requirement fulfilled, and nothing to fetch."""
    told = succeeds(one, checkout, one.text.replace("install", "install --no-index --dry-run", 1), "already satisfied")
    assert "does not provide the extra" not in told, f"{one.where}: {told}"


def one_figure(one: Documented, checkout: Checkout) -> None:
    """The documented options, and the shortest benchmark."""
    succeeds(one, checkout, f"python {one.text} {BRIEFLY}", "")


def served(one: Documented, checkout: Checkout) -> None:
    """On a free port, after `make docs`, asked for a page and for what its search needs."""
    succeeds(one, checkout, "make docs", "")
    command = ["python", "-u", *shlex.split(one.text)[1:], "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(
        command,
        cwd=checkout.root,
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            address = re.search(r"http://[\d.]+:\d+/", process.stdout.readline())
            assert address, one.where
            assert "openrouter-pipe" in httpx.get(address[0], trust_env=False).text
            assert httpx.get(f"{address[0]}search/search_index.json", trust_env=False).json()["docs"]
        finally:
            process.terminate()
            process.wait(20)


def succeeds(one: Documented, checkout: Checkout, command: str, prints: str) -> str:
    done = checkout.run(command)
    assert done.returncode == one.status, f"{one.where}: `{command}` ended with {done.returncode}: {done.stdout}"
    assert prints in done.stdout, f"{one.where}: `{command}` printed {done.stdout}"
    return done.stdout


OTHERS: Final[Mapping[str, Callable[[Documented, Checkout], None] | Run | Elsewhere]] = {
    r"export( [A-Z_]+)+": in_a_shell,
    r"read -rs [A-Z_]+(; read -rs [A-Z_]+)*": in_a_shell,
    r"python -m pytest tests/\S+( -k \S+)?": as_it_stands,
    r"pip install \S+\.whl": end_to_end("wheel", "needs the wheel"),
    r"pip install [^./]+": by_pip_without_an_index,
    r"python3? -m http\.server .*--directory build/site.*": served,
    r"bench\.py --report": MAKE["bench-report"],
    r"tests/benchmarks/bench\.py --.+": one_figure,
}
"""Other programs: what their commands look like, and how they are executed."""

ALL: Final = [one for page in PAGES for one in (*commands(page), *inline(page), *inline(page, OTHER_PROGRAMS))]
NOT_OURS: Final = list({one.text: one for one in ALL if not one.text.startswith("openrouter-pipe ")}.values())


def way_of(one: Documented) -> Callable[[Documented, Checkout], None] | Run | Elsewhere:
    """How it is executed; fails with page and line where nobody knows."""
    subprocess.run(["bash", "-n", "-c", one.text], timeout=10, check=True)
    program, *words = shlex.split(one.text)
    if program == "make":
        target = next((word for word in words if "=" not in word), "")
        assert target in MAKE, f"{one.where}: `{one.text}` names no target of MAKE in {Path(__file__).name}"
        for variable in (word.partition("=")[0] for word in words if "=" in word):
            assert re.search(rf"\b{variable}\b", (ROOT / "Makefile").read_text()), (
                f"{one.where}: make reads no {variable}"
            )
        return MAKE[target]
    found = [way for pattern, way in OTHERS.items() if re.fullmatch(pattern, one.text)]
    assert found, f"{one.where}: `{one.text}` is executed by no test; say how in OTHERS of {Path(__file__).name}"
    return found[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy with the bundle in it, as most targets want it."""
    made = Checkout.made(tmp_path_factory.mktemp("targets") / "built")
    done = made.run("make bundle")
    assert done.returncode == 0, done.stdout
    yield made
    shutil.rmtree(made.root)


@pytest.fixture
def checkout(built: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """One that the test may change."""
    copied = built.copy(tmp_path / "copy")
    yield copied
    shutil.rmtree(copied.root)


@pytest.mark.parametrize("target", [target for target, way in MAKE.items() if isinstance(way, Run)])
def test_a_target_of_make_runs_and_changes_only_what_it_is_for(target: str, checkout: Checkout) -> None:
    way = MAKE[target]
    assert isinstance(way, Run)
    assert f"make {target}" in way.command
    before = checkout.files()
    done = checkout.run(f"set -e; {way.command}")
    assert done.returncode == 0, done.stdout
    assert re.search(way.prints, done.stdout), done.stdout
    after = checkout.files()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert [name for name in sorted(changed) if not any(fnmatch(name, one) for one in way.changes)] == []
    assert [one for one in way.changes if not any(fnmatch(name, one) for name in changed)] == []


def test_a_copy_runs_its_own_sources(checkout: Checkout) -> None:
    done = checkout.run("python -c 'from openrouter_pipe.composition import cli; print(cli.__file__)'")
    assert Path(done.stdout.strip()).resolve() == checkout.root / "composition" / "cli.py"


def test_an_older_python_is_refused_with_what_to_do(checkout: Checkout) -> None:
    (checkout.root / ".venv" / ".installed").unlink()
    done = checkout.run("make setup PYTHON=false")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer; call make with PYTHON=" in done.stdout


def test_every_target_of_make_has_a_row_and_is_listed_by_make_help(checkout: Checkout) -> None:
    assert set(MAKE) == set(make_targets())
    assert {f"make {target}" for target in MAKE} == {
        " ".join(line.split()[:2]) for line in checkout.run("make help").stdout.splitlines()
    }


@pytest.mark.parametrize("target", MAKE)
def test_every_knob_that_make_help_names_is_tried(target: str) -> None:
    way = MAKE[target]
    tried = way.command if isinstance(way, Run) else (ROOT / way.file).read_text()
    knobs = re.findall(r"\b([A-Z_]+)=", make_targets()[target])
    assert [knob for knob in knobs if f" {knob}=" not in tried] == []


@pytest.mark.parametrize("name", [name for name, way in {**MAKE, **OTHERS}.items() if isinstance(way, Elsewhere)])
def test_what_is_executed_elsewhere_is(name: str) -> None:
    way = {**MAKE, **OTHERS}[name]
    assert isinstance(way, Elsewhere)
    assert way.words in (ROOT / way.file).read_text(), f"{name}: {way.file} does not run it"


@pytest.mark.parametrize("one", NOT_OURS, ids=lambda one: one.text)
def test_a_command_of_others_runs(one: Documented, request: pytest.FixtureRequest) -> None:
    way = way_of(one)
    if not isinstance(way, Run | Elsewhere):  # those have tests of their own
        way(one, request.getfixturevalue("checkout"))


@pytest.mark.parametrize("pattern", OTHERS)
def test_every_row_of_the_table_is_of_use(pattern: str) -> None:
    assert any(way_of(one) is OTHERS[pattern] for one in NOT_OURS if re.fullmatch(pattern, one.text))


@pytest.mark.parametrize(
    "text",
    ["frobnicate --all", "make no-such-target", "make", "make fuzz FUZZ_SECS=20", "curl http://127.0.0.1:9464/metrics"],
)
def test_an_unknown_command_is_told_with_its_page_and_line(text: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 7"):
        way_of(Documented("page.md", 7, text))


@pytest.mark.parametrize(
    "text",
    [
        "python -m pytest tests/unit/test_none.py",
        "pip install openrouter-pipe[no-such-extra]",
        "pip install no-such-package-of-ours",
        "tests/benchmarks/bench.py --no-such-option",
    ],
)
def test_a_command_that_does_not_run_is_told_with_its_page_and_line(text: str, checkout: Checkout) -> None:
    one = Documented("page.md", 7, text)
    way = way_of(one)
    assert not isinstance(way, Run | Elsewhere)
    with pytest.raises(AssertionError, match=r"page\.md, line 7"):
        way(one, checkout)
