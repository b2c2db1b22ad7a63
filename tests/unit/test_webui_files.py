"""The host's file storage when the host misbehaves: one kind of error, and never without end."""

import asyncio
import sys
import types

import pytest

from openrouter_pipe.adapters.openwebui.files import HostFileStore
from openrouter_pipe.ports.chat import Identity
from openrouter_pipe.ports.files import FileAccessError, FileBytes

ME = Identity(user_id="u", session_id="s", chat_id="c", message_id="m")


async def broken(*arguments):
    raise RuntimeError("the database said something secret")


async def hanging(*arguments):
    await asyncio.Event().wait()


async def known(*arguments):
    return types.SimpleNamespace(id="u", role="user")


def host(monkeypatch, user, file):
    for name, content in {
        "open_webui": {},
        "open_webui.models": {},
        "open_webui.models.users": {"Users": types.SimpleNamespace(get_user_by_id=user)},
        "open_webui.models.files": {"Files": types.SimpleNamespace(get_file_by_id=file)},
    }.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(("user", "file"), [(broken, broken), (known, broken), (hanging, broken), (known, hanging)])
async def test_whatever_the_host_does_is_one_kind_of_error(monkeypatch, user, file):
    host(monkeypatch, user, file)
    store = HostFileStore(None, ME, patience=0.01)
    with pytest.raises(FileAccessError, match="the host did not store the file"):
        await store.save(FileBytes(b"x", "image/png"))
    with pytest.raises(FileAccessError, match="the host did not deliver the file"):
        await store.read("f", 10, 10)
