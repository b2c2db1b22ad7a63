"""One suite for every file store: memory, and the host's in both of its generations over each of its storages."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.openwebui.files import FallbackOwner, HostFileStore
from openrouter_pipe.ports.chat import Identity
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStore

ME = Identity(user_id="me", session_id="s", chat_id="chat", message_id="m")
PNG = FileBytes(b"\x89PNG" + bytes(200_000), "image/png", "cat.png")
SPARE = FallbackOwner("spare@system.local", "Spare", "pending")


class FakeStorage:
    """The host's storage: ``kind`` local hands out the path itself, cloud downloads to it first, others have no path."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.kind = kind
        self.remote: dict[str, bytes] = {}

    def upload_file(self, file: Any, filename: str, tags: dict[str, str]) -> tuple[bytes, str]:
        data = file.read()
        assert "/" not in filename
        if self.kind == "local":
            (self.root / filename).write_bytes(data)
            return data, str(self.root / filename)
        self.remote[f"{self.kind}://{filename}"] = data
        return data, f"{self.kind}://{filename}"

    def get_file(self, path: str) -> Any:
        if self.kind == "local":
            return path
        data = self.remote[path]
        if self.kind == "bytes":
            return data
        if self.kind == "nothing":
            return None
        copy = self.root / path.rpartition("/")[2]
        copy.write_bytes(data)
        return str(copy)

    def delete_file(self, path: str) -> None:
        self.remote.pop(path, None)
        Path(path).unlink(missing_ok=True)


class FakeHost:
    """As much of Open WebUI's modules as files need; ``modern`` has asynchronous models."""

    def __init__(self, root: Path, storage: str, modern: bool) -> None:
        self.storage = FakeStorage(root, storage)
        self.modern = modern
        self.files: dict[str, Any] = {}
        self.links: list[tuple[str, str, list[str], str]] = []
        self.messages: dict[str, Any] = {}
        self.shared: set[tuple[str, str]] = set()
        self.max_megabytes: int | None = None
        self.users = {
            name: types.SimpleNamespace(id=name, role=role, email=f"{name}@example.org", name=name)
            for name, role in (("me", "user"), ("other", "user"), ("boss", "admin"))
        }

    def modules(self) -> dict[str, dict[str, Any]]:
        self_ = self
        turn = self._turn

        class FileForm:
            def __init__(self, **members: Any) -> None:
                self.__dict__.update(members)

        files: dict[str, Any] = {
            "get_file_by_id": turn(self.files.get),
            "insert_new_file": turn(self._insert),
            "get_files_by_ids": turn(lambda ids: [self.files[one] for one in ids if one in self.files]),
        }
        users: dict[str, Any] = {
            "get_user_by_id": turn(self.users.get),
            "get_user_by_email": turn(lambda mail: next((u for u in self.users.values() if u.email == mail), None)),
            "insert_new_user": turn(
                lambda user_id, name, email, role: self.users.setdefault(
                    user_id, types.SimpleNamespace(id=user_id, role=role, email=email, name=name)
                )
            ),
        }
        chats: dict[str, Any] = {}
        if self.modern:
            chats["insert_chat_files"] = turn(lambda *link: self.links.append(link))
            chats["get_messages_map_by_chat_id"] = turn(lambda chat: self.messages if chat == "chat" else None)
        else:
            del files["get_files_by_ids"]
        access = turn(lambda file_id, kind, user: kind == "read" and (file_id, user.id) in self_.shared)
        router = {"upload_file_handler": self._handler(), "has_access_to_file": None if self.modern else access}
        found: dict[str, dict[str, Any]] = {
            "starlette": {},
            "starlette.datastructures": {"Headers": dict, "UploadFile": types.SimpleNamespace},
            "open_webui": {},
            "open_webui.models": {},
            "open_webui.models.users": {"Users": types.SimpleNamespace(**users)},
            "open_webui.models.files": {"Files": types.SimpleNamespace(**files), "FileForm": FileForm},
            "open_webui.models.chats": {"Chats": types.SimpleNamespace(**chats)},
            "open_webui.routers": {},
            "open_webui.routers.files": router,
            "open_webui.storage": {},
            "open_webui.storage.provider": {"Storage": self.storage},
            "open_webui.config": {"STORAGE_PROVIDER": self.storage.kind, "STORAGE_LOCAL_CACHE": False},
        }
        if self.modern:
            get = turn(lambda key: {"rag.file.max_size": self.max_megabytes}[key])
            found["open_webui.models.config"] = {"Config": types.SimpleNamespace(get=get)}
            found["open_webui.utils"] = {}
            found["open_webui.utils.access_control"] = {}
            found["open_webui.utils.access_control.files"] = {"has_access_to_file": access}
        return found

    @property
    def request(self) -> Any:
        config = types.SimpleNamespace(FILE_MAX_SIZE=self.max_megabytes)
        app = types.SimpleNamespace(state=types.SimpleNamespace(config=config))
        return types.SimpleNamespace(app=app, base_url="https://chat.example.org/", headers={})

    def add(self, file_id: str, owner: str, content: bytes, name: str = "a.png", path: str | None = None) -> None:
        if path is None:
            _, path = self.storage.upload_file(types.SimpleNamespace(read=lambda: content), f"{file_id}_{name}", {})
        digest = hashlib.sha256(content).hexdigest()
        meta = {"name": name, "content_type": "image/png", "file_hash": digest}
        self.files[file_id] = types.SimpleNamespace(id=file_id, user_id=owner, path=path, filename=name, meta=meta)

    def _turn(self, function: Any) -> Any:
        if not self.modern:
            return function

        async def later(*arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        return later

    def _insert(self, user_id: str, form: Any) -> Any:
        if form.id in self.files:
            return None
        self.files[form.id] = types.SimpleNamespace(**vars(form), user_id=user_id)
        return self.files[form.id]

    def _handler(self) -> Any:
        def handle(request: Any, file: Any, metadata: Any, process: bool, user: Any) -> Any:
            assert process is False
            file_id = f"uploaded-{len(self.files)}"
            self.add(file_id, user.id, file.file.read(), file.filename)
            return self.files[file_id]

        async def handle_later(request: Any, **named: Any) -> Any:
            return handle(request, **named)

        return handle_later if self.modern else handle


def installed(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    for name in [known for known in sys.modules if known.partition(".")[0] == "open_webui"]:
        monkeypatch.delitem(sys.modules, name)
    for name, content in host.modules().items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return host


@pytest.fixture(params=[True, False], ids=["asynchronous models", "synchronous models"])
def modern(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def plain_host(modern: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    return installed(FakeHost(tmp_path, "local", modern), monkeypatch)


@pytest.fixture(params=["memory", "local", "s3", "gs", "https", "bytes"])
def store(request: pytest.FixtureRequest, modern: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    if request.param == "memory":
        return MemoryFileStore()
    return HostFileStore(installed(FakeHost(tmp_path, request.param, modern), monkeypatch).request, ME)


def store_of(host: FakeHost, user: str = "me", **more: Any) -> HostFileStore:
    return HostFileStore(host.request, Identity(user_id=user, chat_id="chat", message_id="m"), **more)


async def content(store: FileStore, file_id: str, most: int = 1_000_000) -> bytes:
    stream = await store.read(file_id, most, 65536)
    return b"".join([chunk async for chunk in stream.chunks])


# What every store does


async def test_what_was_saved_is_read_back_in_pieces(store: FileStore) -> None:
    saved = await store.save(PNG)
    assert (saved.name, saved.content_type, saved.size) == ("cat.png", "image/png", len(PNG.data))
    stream = await store.read(saved.id, len(PNG.data), 65536)
    assert (stream.name, stream.content_type) == ("cat.png", "image/png")
    pieces = [chunk async for chunk in stream.chunks]
    assert max(map(len, pieces)) <= 65536
    assert b"".join(pieces) == PNG.data
    assert store.locate(saved.url) == saved.id


async def test_what_is_kept_under_a_key_is_kept_once(store: FileStore) -> None:
    assert await store.kept("url:a") is None
    first = await store.keep("url:a", PNG)
    assert await store.keep("url:a", PNG) == first
    assert await store.kept("url:a") == first.id
    assert (await store.keep("url:b", PNG)).id != first.id
    assert await content(store, first.id) == PNG.data


async def test_what_is_too_large_empty_or_unknown_is_refused(store: FileStore) -> None:
    saved = await store.save(PNG)
    with pytest.raises(FileAccessError, match="larger than"):
        await content(store, saved.id, len(PNG.data) - 1)
    with pytest.raises(FileAccessError, match="empty"):
        await store.save(FileBytes(b"", "image/png"))
    with pytest.raises(FileAccessError, match="does not exist or may not be read"):
        await content(store, "nobody")
    assert await store.limit() is None
    assert store.locate("https://example.org/a.png") is None


# What the host's does


@pytest.mark.parametrize(
    ("user", "allowed"), [("me", True), ("other", False), ("boss", True), ("stranger", False), ("", False)]
)
async def test_only_who_may_read_a_file_reads_it(plain_host: FakeHost, user: str, allowed: bool) -> None:
    plain_host.add("f", "me", b"content")
    if allowed:
        assert await content(store_of(plain_host, user), "f") == b"content"
        return
    with pytest.raises(FileAccessError):
        await content(store_of(plain_host, user, fallback=SPARE), "f")


async def test_a_shared_file_is_read_with_the_hosts_permission(plain_host: FakeHost) -> None:
    plain_host.add("f", "me", b"content")
    plain_host.shared.add(("f", "other"))
    assert await content(store_of(plain_host, "other"), "f") == b"content"


@pytest.mark.parametrize("file_id", ["../f", "..", ".", "f/../f", "/etc/passwd", "f\0", "%2e%2e", "", "f\n", "x" * 200])
async def test_what_is_no_id_is_never_looked_up(plain_host: FakeHost, file_id: str) -> None:
    plain_host.files[file_id] = types.SimpleNamespace(
        id=file_id, user_id="me", path="/etc/passwd", filename="x", meta={}
    )
    with pytest.raises(FileAccessError, match="does not exist or may not be read"):
        await content(store_of(plain_host), file_id)


async def test_deleted_files_and_folders_are_refused(plain_host: FakeHost, tmp_path: Path) -> None:
    for file_id, path in (
        ("gone", "/nowhere/at/all"),
        ("folder", str(tmp_path)),
        ("device", "/dev/zero"),
        ("none", ""),
    ):
        plain_host.add(file_id, "me", b"", path=path)
        with pytest.raises(FileAccessError, match=r"not have the file any more|has no content"):
            await content(store_of(plain_host), file_id)


async def test_a_storage_that_hands_out_nothing_is_told(
    modern: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = installed(FakeHost(tmp_path, "nothing", modern), monkeypatch)
    host.add("f", "me", b"content")
    with pytest.raises(FileAccessError, match="hands out nothing that can be read"):
        await content(store_of(host), "f")
    host.storage.remote.clear()
    with pytest.raises(FileAccessError, match="the host did not deliver the file"):
        await content(store_of(host), "f")


@pytest.mark.parametrize("cached", [True, False])
async def test_local_copies_stay_only_where_the_host_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    host = installed(FakeHost(tmp_path, "s3", True), monkeypatch)
    monkeypatch.setattr(sys.modules["open_webui.config"], "STORAGE_LOCAL_CACHE", cached)
    host.add("f", "me", b"content")
    assert await content(store_of(host), "f") == b"content"
    assert len(list(tmp_path.iterdir())) == cached


async def test_readers_of_one_remote_file_do_not_disturb_each_other(
    modern: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's storages download to one place per file, over what another reader has open."""
    host = installed(FakeHost(tmp_path, "s3", modern), monkeypatch)
    data = bytes(range(256)) * 4000
    host.add("f", "me", data)

    def slowly(path: str) -> str:
        copy = tmp_path / "f_a.png"
        with copy.open("wb") as file:
            time.sleep(0.005)
            file.write(host.storage.remote[path])
        return str(copy)

    monkeypatch.setattr(host.storage, "get_file", slowly)
    read = await asyncio.gather(*(content(store_of(host), "f", 2_000_000) for _ in range(8)))
    assert set(map(len, read)) == {len(data)}
    assert set(read) == {data}


async def test_a_reader_who_stops_early_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = installed(FakeHost(tmp_path, "s3", True), monkeypatch)
    host.add("f", "me", PNG.data)
    stream = await store_of(host).read("f", 1_000_000, 65536)
    await anext(stream.chunks)
    with pytest.raises(FileAccessError, match="the host did not deliver the file"):
        await content(store_of(host, patience=0.05), "f")
    await stream.chunks.aclose()
    assert await content(store_of(host, patience=0.5), "f") == PNG.data


async def test_a_reader_who_leaves_during_the_download_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread cannot be cancelled: it goes on writing to the one place of the file, and what it leaves is removed."""
    host = installed(FakeHost(tmp_path, "s3", True), monkeypatch)
    host.add("f", "me", PNG.data)
    running, most = [0], [0]

    def slowly(path: str) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        copy = tmp_path / "f_a.png"
        with copy.open("wb") as file:
            time.sleep(0.05)
            file.write(host.storage.remote[path])
        running[0] -= 1
        return str(copy)

    monkeypatch.setattr(host.storage, "get_file", slowly)
    for _ in range(3):
        leaver = asyncio.ensure_future(content(store_of(host), "f"))
        await asyncio.sleep(0.02)
        leaver.cancel()
        assert await content(store_of(host), "f") == PNG.data
    assert most[0] == 1
    assert not (tmp_path / "f_a.png").exists()


async def test_a_file_that_is_not_whole_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = installed(FakeHost(tmp_path, "s3", True), monkeypatch)
    host.add("f", "me", b"content")
    for size in (None, 7, "7", True):
        host.files["f"].meta["size"] = size
        assert await content(store_of(host), "f") == b"content"
    for size in (6, 8):
        host.files["f"].meta["size"] = size
        with pytest.raises(FileAccessError, match="another size than when it was stored"):
            await content(store_of(host), "f")


async def test_files_are_linked_to_their_chat_where_the_host_can(plain_host: FakeHost) -> None:
    saved = await store_of(plain_host).save(PNG)
    kept = await store_of(plain_host).keep("k", PNG)
    wanted = [("chat", "m", [saved.id], "me"), ("chat", "m", [kept.id], "me")]
    assert plain_host.links == (wanted if plain_host.modern else [])
    assert plain_host.files[kept.id].meta["data"] == {"chat_id": "chat", "message_id": "m"}


async def test_users_and_chats_share_no_keys(plain_host: FakeHost) -> None:
    await store_of(plain_host).keep("k", PNG)
    assert await store_of(plain_host, "other").kept("k") is None
    elsewhere = HostFileStore(plain_host.request, Identity(user_id="me", chat_id="another"))
    assert await elsewhere.kept("k") is None


async def test_what_the_chat_shows_already_is_not_stored_again(plain_host: FakeHost) -> None:
    mine, theirs = "0" * 8 + "-0000-0000-0000-" + "0" * 12, "1" * 8 + "-0000-0000-0000-" + "0" * 12
    plain_host.add(mine, "me", b"mine")
    plain_host.add(theirs, "other", b"theirs")
    plain_host.messages = {
        "m": {"files": [{"type": "image", "url": mine}, {"type": "file", "id": theirs}, None]},
        "n": {},
    }
    store = store_of(plain_host)
    digests = [hashlib.sha256(text).hexdigest() for text in (b"mine", b"theirs")]
    assert await store.kept(f"sha256:{digests[0]}") == (mine if plain_host.modern else None)
    assert await store.kept(f"sha256:{digests[1]}") is None


async def test_uploads_without_a_user_belong_to_the_fallback_account(plain_host: FakeHost) -> None:
    store = store_of(plain_host, "", fallback=SPARE)
    saved = [await store.save(PNG) for _ in range(2)]
    (owner,) = {plain_host.files[one.id].user_id for one in saved}
    assert (plain_host.users[owner].email, plain_host.users[owner].role) == ("spare@system.local", "pending")
    with pytest.raises(FileAccessError, match="need a user"):
        await store_of(plain_host, "").save(PNG)


async def test_the_hosts_limit_is_known_and_kept(plain_host: FakeHost) -> None:
    plain_host.max_megabytes = 1
    store = store_of(plain_host)
    assert await store.limit() == 1024 * 1024
    with pytest.raises(FileAccessError, match="larger than 1 MB"):
        await store.keep("k", FileBytes(bytes(1024 * 1024 + 1), "image/png"))
    assert plain_host.files == {}


async def test_a_record_that_cannot_be_made_leaves_no_stray_bytes(plain_host: FakeHost, tmp_path: Path) -> None:
    def refuse(user_id: str, form: Any) -> None:
        return None

    files = sys.modules["open_webui.models.files"].Files
    files.insert_new_file = refuse
    with pytest.raises(FileAccessError, match="did not store"):
        await store_of(plain_host).keep("k", PNG)
    assert list(tmp_path.iterdir()) == []


async def test_a_record_that_the_host_refuses_to_describe_leaves_no_stray_bytes(
    plain_host: FakeHost, tmp_path: Path
) -> None:
    def refuse(**members: Any) -> None:
        raise ValueError("no such field")

    sys.modules["open_webui.models.files"].FileForm = refuse  # type: ignore[attr-defined]
    with pytest.raises(FileAccessError, match="did not store"):
        await store_of(plain_host).keep("k", PNG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("leaves", ["stopped", "out of patience"])
async def test_a_turn_that_leaves_between_bytes_and_record_leaves_no_stray_bytes(
    plain_host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool, leaves: str
) -> None:
    written, go_on = threading.Event(), threading.Event()
    upload = plain_host.storage.upload_file

    def slowly(file: Any, filename: str, tags: dict[str, str]) -> tuple[bytes, str]:
        answer = upload(file, filename, tags)
        written.set()
        go_on.wait(5)
        return answer

    async def handle(request: Any, file: Any, metadata: Any, process: bool, user: Any) -> Any:
        """As the host's own: the bytes in a thread, the record after them."""
        _, path = await asyncio.to_thread(plain_host.storage.upload_file, file.file, f"new_{file.filename}", {})
        plain_host.add("new", user.id, b"", file.filename, path)
        return plain_host.files["new"]

    monkeypatch.setattr(plain_host.storage, "upload_file", slowly)
    monkeypatch.setattr(sys.modules["open_webui.routers.files"], "upload_file_handler", handle)
    store = store_of(plain_host, patience=60 if leaves == "stopped" else 0.1)
    turn = asyncio.ensure_future(store.keep("k", PNG) if kept else store.save(PNG))
    await asyncio.to_thread(written.wait, 5)
    if leaves == "stopped":
        turn.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([turn])
    assert turn.cancelled() if leaves == "stopped" else isinstance(turn.exception(), FileAccessError)
    go_on.set()
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=5)
    assert [str(one) for one in tmp_path.iterdir()] == [record.path for record in plain_host.files.values()]
    if kept:
        assert await store_of(plain_host).kept("k") is not None


async def test_a_turn_that_is_stopped_while_the_host_writes_a_link_does_not_cut_it_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = installed(FakeHost(tmp_path, "local", modern=True), monkeypatch)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def link(*link: Any) -> None:
        begun.set()
        await go_on.wait()
        host.links.append(link)

    sys.modules["open_webui.models.chats"].Chats.insert_chat_files = link
    turn = asyncio.ensure_future(store_of(host).keep("k", PNG))
    await begun.wait()
    turn.cancel()
    await asyncio.wait([turn])
    assert turn.cancelled()
    go_on.set()
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=5)
    assert [link[2] for link in host.links] == [list(host.files)]


@pytest.mark.parametrize("raises", [True, False])
async def test_two_workers_that_keep_the_same_content_at_once_both_have_it(plain_host: FakeHost, raises: bool) -> None:
    store, other = store_of(plain_host), store_of(plain_host)
    files = sys.modules["open_webui.models.files"].Files
    insert = files.insert_new_file

    def second(user_id: str, form: Any) -> Any:
        files.insert_new_file = insert
        plain_host._insert(user_id, form)
        if raises:
            raise RuntimeError("UNIQUE constraint failed: file.id")
        return None

    files.insert_new_file = second
    stored = [await store.keep("k", PNG), await other.keep("k", PNG)]
    assert stored[0] == stored[1]
    assert await content(store, stored[0].id) == PNG.data


async def test_names_carry_no_folders_into_the_storage(plain_host: FakeHost) -> None:
    for name in ("../../etc/cron.d/x", "..\\..\\x", "/x", "a/", "漢" * 200 + ".txt", "\ud800"):
        kept = await store_of(plain_host).keep(name, FileBytes(b"x", "text/plain", name))
        assert "/" not in kept.name
        assert "\\" not in kept.name


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("/api/v1/files/abc-1/content", "abc-1"),
        ("/api/v1/files/abc-1", "abc-1"),
        ("/api/v1/files/abc-1/content/cat.png?x=1#y", "abc-1"),
        ("https://chat.example.org/api/v1/files/abc-1/content", "abc-1"),
        ("http://chat.example.org:8080/below/api/v1/files/abc-1/content", "abc-1"),
        ("01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef"),
        ("https://elsewhere.example.org/api/v1/files/abc-1/content", None),
        ("https://chat.example.org.evil.example/api/v1/files/abc-1/content", None),
        ("https://chat.example.org@evil.example/api/v1/files/abc-1/content", None),
        ("//evil.example/api/v1/files/abc-1/content", None),
        ("/api/v1/files/../../secret/content", None),
        ("/api/v1/files/..%2f..%2fsecret/content", None),
        ("/api/v1/files/a.b/content", None),
        ("/api/v1/files//content", None),
        ("/api/v1/files/abc/data/content/update", None),
        ("/static/x.png", None),
        ("https://[bad/api/v1/files/a", None),
        ("abc", None),
        ("", None),
        ("/api/v1/files/" + "a" * 5000, None),
    ],
)
def test_addresses_of_the_hosts_files(plain_host: FakeHost, address: str, found: str | None) -> None:
    assert store_of(plain_host).locate(address) == found


@pytest.mark.parametrize("request_", [None, object(), types.SimpleNamespace(base_url=5, headers=None)])
def test_odd_requests_name_no_hosts(request_: Any) -> None:
    assert HostFileStore(request_, ME).locate("https://chat.example.org/api/v1/files/a/content") is None
