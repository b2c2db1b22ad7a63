"""What `openrouter-pipe validate` tries: the staging list of the report, each line by a real turn of the pipe's own build.

Everything goes the way that a chat's message goes, from `ChatRequest` to the last event; what the provider was asked is
looked at on its way out. Not here: choosing the configuration, progress and the table (`composition.validate`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
from attrs import frozen

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.paths import ArchiveError, component, root_of
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.composition.checks.result import Status
from openrouter_pipe.composition.policies import store_policy, turn_policies
from openrouter_pipe.composition.session_logs import archive_policy
from openrouter_pipe.composition.trial import Trial, Turn, said, user
from openrouter_pipe.domain.catalog.selection import exposed
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.ports.artifacts import ArtifactStoreError
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatMessage, Failed
from openrouter_pipe.ports.items import FilePart, FunctionCallItem, FunctionOutputItem, ImagePart, MessageItem, Part
from openrouter_pipe.ports.provider import ProviderRequest
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.tools import ToolSpec

LONGEST: Final = 300.0
"""Seconds that one line may take."""
_ARCHIVE_LOOKS: Final = 100
_BETWEEN_LOOKS: Final = 0.05
_LEFT_OVER: Final = re.compile(r"\{\{|\{[a-z_]+\}")
_SLOW: Final = 5.0
_TOOL: Final = "validation_word"
_LOOP: Final = "[[sim: scenario=tool-loop]]\n"


@frozen
class Line:
    """One line of the table; ``evidence`` in words."""

    name: str
    status: Status
    evidence: str


Told = tuple[Status, str]


class Validation:
    """One run over one trial; ``model`` empty: one is chosen from the catalogue. ``why_no_store``: the database cannot be
    used. ``failing`` makes a trial over a simulator whose answers are errors."""

    def __init__(
        self,
        trial: Trial,
        failing: Callable[[], Trial],
        *,
        model: str = "",
        problems: Mapping[str, str] | None = None,
        why_no_store: str = "",
    ) -> None:
        self._trial = trial
        self._failing = failing
        self._model = model
        self._problems = problems or {}
        self._why_no_store = why_no_store
        self._cards: tuple[ModelCard, ...] = ()
        self._word = trial.ids.item_id("w")
        self._tool_turn: Turn | None = None
        self.lines: Mapping[str, Callable[[], Awaitable[Told]]] = {
            "settings": self._settings,
            "catalogue": self._catalogue,
            "streamed chat": self._chat,
            "tool call": self._tool_call,
            "image": self._image,
            "file": self._file,
            "two-turn replay": self._replay,
            "error 401": lambda: self._error(401, "authentication"),
            "error 429": lambda: self._error(429, "rate_limit"),
            "provider error": lambda: self._error(502, "service_error"),
            "session log": self._session_log,
            "clean-up": self._clean_up,
        }

    async def run(self, name: str) -> Line:
        """Try one line; never raises."""
        try:
            async with asyncio.timeout(LONGEST):
                status, evidence = await self.lines[name]()
        except TimeoutError:
            status, evidence = Status.FAILED, f"nothing came of it within {LONGEST:.0f} s"
        except (ArtifactStoreError, ArchiveError, OSError) as error:
            status, evidence = Status.FAILED, str(error)
        return Line(name, status, evidence)

    async def _settings(self) -> Told:
        if self._problems:
            return Status.FAILED, "; ".join(f"{name}: {why}" for name, why in self._problems.items())
        return Status.OK, "every setting can be read"

    async def _catalogue(self) -> Told:
        trial = self._trial
        policies = turn_policies(trial.settings, trial.pipe_id)
        service = CatalogService(trial.container.catalog_source(), trial.container.clock())
        try:
            catalog = await service.current(policies.connection, 3600.0, insist=True)
        except CatalogUnavailableError as error:
            return Status.FAILED, f"it cannot be read: {error.fault.message}"
        finally:
            await service.close()
        self._cards = exposed(catalog, policies.selection)
        self._model = self._model or chosen_model(self._cards)
        if not self._cards:
            return Status.FAILED, f"{len(catalog.cards)} models, none of them on offer (MODEL_ID and filters)"
        return Status.OK, f"{len(catalog.cards)} models, {len(self._cards)} on offer; the turns ask {self._model}"

    async def _chat(self) -> Told:
        turn = await self._ask("Count from one to twenty in words, separated by blanks.")
        return streamed(turn)

    async def _tool_call(self) -> Told:
        if self._lacks(lambda card: card.capabilities.tools):
            return Status.SKIPPED, f"{self._model} cannot call tools; name another with --model"
        toolbox = MemoryToolbox()

        async def tell(arguments: Mapping[str, object]) -> str:
            return self._word

        described = "Tells the validation word. Takes no arguments."
        toolbox.add(ToolSpec(_TOOL, described, {"type": "object", "properties": {}}), tell)
        directive = _LOOP if self._trial.simulated else ""
        turn = await self._ask(
            f"{directive}Call {_TOOL} once, then answer with the word that it returns.", toolbox=toolbox
        )
        if turn.failed:
            return _not_answered(turn)
        if not toolbox.calls:
            return Status.FAILED, f"{self._model} answered without calling the tool; try another with --model"
        self._tool_turn = turn
        if self._word not in turn.text:
            return Status.WARNING, "the tool ran and the answer went on, but the word is not in it"
        return Status.OK, f"{len(toolbox.calls)} call ran in {turn.rounds} rounds, its result is in the answer"

    async def _image(self) -> Told:
        part = ImagePart(f"data:image/png;base64,{base64.b64encode(red_square()).decode()}")
        return await self._attachment(part, "image", ImagePart)

    async def _file(self) -> Told:
        content = base64.b64encode(small_pdf()).decode()
        part = FilePart(filename="validation.pdf", data_url=f"data:application/pdf;base64,{content}")
        return await self._attachment(part, "file", FilePart)

    async def _attachment(self, part: Part, kind: str, expected: type) -> Told:
        if kind == "image" and self._lacks(lambda card: kind in card.capabilities.inputs):
            return Status.SKIPPED, f"{self._model} takes no {kind}; name another with --model"
        turn = await self._ask(f"Describe the attached {kind} in a few words.", part)
        if turn.failed or not turn.text.strip():
            return _not_answered(turn)
        if not any(isinstance(one, expected) for request in turn.requests for one in parts_of(request)):
            return Status.FAILED, f"the {kind} was not sent to the provider"
        return Status.OK, "sent to the provider, and answered"

    async def _replay(self) -> Told:
        settings, first = self._trial.settings, self._tool_turn
        if not settings.PERSIST_TOOL_RESULTS:
            return Status.SKIPPED, "PERSIST_TOOL_RESULTS is off: tool results are not kept for later turns"
        if self._why_no_store:
            return Status.FAILED, self._why_no_store
        if first is None:
            return Status.SKIPPED, "there was no tool call whose result could be replayed"
        if not first.markers:
            return Status.FAILED, "nothing was stored; `openrouter-pipe doctor` examines the database"
        turn = await self._ask("Which word did the tool return?", history=(first.question, said(first)))
        if turn.failed:
            return _not_answered(turn)
        items = [item for request in turn.requests for item in request.input]
        calls = [item for item in items if isinstance(item, FunctionCallItem)]
        outputs = [item for item in items if isinstance(item, FunctionOutputItem) and self._word in str(item.output)]
        if not calls or not outputs:
            return Status.FAILED, "the second turn did not send the first one's tool call and its result"
        return Status.OK, f"the second turn sent {len(calls)} call and its result, read from {self._trial.store_name}"

    async def _error(self, status: int, code: str) -> Told:
        async with self._failing() as trial:
            turn = await trial.turn("sim.echo", user(f"[[sim: status={status}]]\nHi"))
        failed = turn.failed
        if failed is None:
            return Status.FAILED, f"status {status} did not end as an error"
        if failed.code != code:
            return Status.FAILED, f"status {status} was taken for {failed.code}, not for {code}"
        return judged(failed)

    async def _session_log(self) -> Told:
        trial = self._trial
        settings = trial.settings
        if not settings.SESSION_LOG_STORE_ENABLED:
            return Status.SKIPPED, "SESSION_LOG_STORE_ENABLED is off"
        if not trial.turns:
            return Status.SKIPPED, "no turn was made"
        request = trial.turns[0].request
        policy = archive_policy(request)
        if policy is None:
            return Status.FAILED, "SESSION_LOG_DIR or SESSION_LOG_ZIP_PASSWORD is not set: no archive is written"
        if archive_policy(attrs.evolve(request, identity=attrs.evolve(request.identity, session_id=""))) is not None:
            return Status.FAILED, "a turn without a session id would have an archive"
        path = archive_of(settings, request.identity.user_id, request.identity.chat_id, request.identity.message_id)
        for _ in range(_ARCHIVE_LOOKS):  # the worker that writes it tells nobody
            if path.exists():
                break
            await asyncio.sleep(_BETWEEN_LOOKS)
        if not path.exists():
            return Status.FAILED, f"no archive was written to {path.parent.parent.parent}; see the log's lines above"
        held = await asyncio.to_thread(archives.read, path, settings.SESSION_LOG_ZIP_PASSWORD)
        return Status.OK, f"written and readable: {', '.join(sorted(held))}"

    async def _clean_up(self) -> Told:
        trial = self._trial
        await trial.container.session_logs().aclose()
        removed = await asyncio.to_thread(remove_archives, trial.settings, trial.user_id, trial.chat_id)
        rows = 0
        if trial.turns and not self._why_no_store:
            policy = store_policy(trial.settings, trial.pipe_id)
            rows = await trial.container.store().delete_chats([trial.chat_id], policy)
        return Status.OK, f"{rows} stored artifacts and {removed} archives of this run were removed"

    def _lacks(self, can: Callable[[ModelCard], bool]) -> bool:
        """Whether the model is known not to be able to; of routers and aliases nothing is known."""
        card = next((card for card in self._cards if self._model in {card.id, card.id.replace("/", ".")}), None)
        return card is not None and not can(card)

    async def _ask(
        self,
        text: str,
        *attached: Part,
        toolbox: MemoryToolbox | None = None,
        history: Sequence[ChatMessage] = (),
    ) -> Turn:
        return await self._trial.turn(self._model, user(text, *attached), history=history, toolbox=toolbox)


def chosen_model(cards: Sequence[ModelCard]) -> str:
    """One that can do all that is tried, an inexpensive family first; else whatever is on offer."""

    def able(card: ModelCard) -> bool:
        can = card.capabilities
        return can.tools and can.text_output and {"image", "file"} <= can.inputs and not card.id.startswith("sim/")

    fit = [card.id for card in cards if able(card)]
    for word in ("haiku", "mini", "flash"):
        for one in fit:
            if word in one and not one.endswith(":free"):
                return one
    return next(iter(fit or [card.id for card in cards]), "openrouter/auto")


def streamed(turn: Turn) -> Told:
    """Whether the answer came, and in pieces."""
    if turn.failed or not turn.text.strip():
        return _not_answered(turn)
    if turn.pieces == 1 and turn.seconds > _SLOW:  # what comes fast is merged on the way and proves nothing
        told = f"all of it came at once after {turn.first:.1f} s: something on the way holds the stream back"
        return Status.WARNING, f"{told}; a proxy perhaps"
    return Status.OK, f"{turn.pieces} pieces, the first after {turn.first:.2f} s, {turn.seconds:.2f} s in all"


def judged(failed: Failed) -> Told:
    """What the user would read: something, with nothing left unfilled."""
    text = failed.text.strip()
    if not text:
        return Status.FAILED, "the template gives an empty text"
    if found := _LEFT_OVER.search(text):
        return Status.FAILED, f"the template leaves {found[0]!r} in the text; docs/errors.md lists what it knows"
    if failed.error_id not in text:
        return Status.WARNING, "the template does not show the error ID by which the log is searched"
    return Status.OK, f"reads: {text.splitlines()[0].lstrip('# ')}"


def _not_answered(turn: Turn) -> Told:
    if turn.failed is None:
        return Status.FAILED, "the answer is empty"
    first = " ".join(line for line in turn.failed.text.splitlines()[:4] if line.strip()).lstrip("# ")
    return Status.FAILED, f"{turn.failed.code}: {first[:300]}"


def parts_of(request: ProviderRequest) -> list[Part]:
    """Every part of every message that a request sends."""
    return [part for item in request.input if isinstance(item, MessageItem) for part in item.parts]


def archive_of(settings: Settings, user_id: str, chat_id: str, message_id: str) -> Path:
    """Where the archive of a turn lies."""
    root = root_of(settings.SESSION_LOG_DIR.strip())
    return root / component(user_id) / component(chat_id) / f"{component(message_id)}.zip"


def remove_archives(settings: Settings, user_id: str, chat_id: str) -> int:
    """Remove the archives of one chat and the folders that are empty then; blocks."""
    if not (settings.SESSION_LOG_STORE_ENABLED and settings.SESSION_LOG_DIR.strip()):
        return 0
    folder = archive_of(settings, user_id, chat_id, "x").parent
    removed = 0
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return 0
    for path in folder.glob("*.zip"):
        path.unlink()
        removed += 1
    for empty in (folder, folder.parent):
        with contextlib.suppress(OSError):
            empty.rmdir()
    return removed


def red_square(side: int = 32) -> bytes:
    """A PNG."""
    rows = (b"\x00" + b"\xff\x00\x00" * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def small_pdf() -> bytes:
    """A PDF of one page that says what it is."""
    drawn = b"BT /F1 24 Tf 20 100 Td (A validation page) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + b"xref\n0 6\n0000000000 65535 f \n" + table + end
