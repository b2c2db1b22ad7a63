"""What one browser tab of Open WebUI does, without the browser: chats over REST and socket.io.

Here: sending, regenerating, continuing and stopping a turn, and waiting for its end, for both versions. Where 0.6.28
leaves it to the browser to keep the chat (it posts its whole copy back after every answer), so does the tab.
Not here: assertions, and the server itself (``webui_host.py``).
"""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import socketio
from webui_host import WebUIHost

JsonDict = dict[str, Any]

# The browser of 0.6.28 takes these out of the messages it sends back to the model.
_REASONING_DETAILS = re.compile(r"<details\s+type=\"(?:reasoning|code_interpreter)\"[^>]*>.*?</details>", re.DOTALL)


@dataclass
class Turn:
    """One question and the answer under way: ids, and every event the tab heard about the answer."""

    chat_id: str
    model: str
    user_id: str
    message_id: str
    task_ids: list[str]
    events: list[tuple[float, JsonDict]] = field(default_factory=list)
    message: JsonDict = field(default_factory=dict)  # the tab's own copy (0.6.28) or what the server stored

    def data(self, kind: str) -> list[JsonDict]:
        """The payloads of all events of one type, in order."""
        return [event["data"] for _, event in self.events if event.get("type") == kind and "data" in event]

    @property
    def deltas(self) -> int:
        """How many events before the last one showed more of the answer."""
        return sum(
            event.get("type") == "response:completion" or (event.get("type") == "chat:completion" and not _ends(event))
            for _, event in self.events
        )

    @property
    def ended(self) -> bool:
        """Whether the tab would show the answer as complete, stopped or failed."""
        return any(_ends(event) for _, event in self.events)


def _ends(event: JsonDict) -> bool:
    match event.get("type"):
        case "chat:completion":
            return bool((event.get("data") or {}).get("done"))
        case "chat:tasks:cancel" | "chat:message:error":
            return True
        case _:
            return False


@dataclass
class Chat:
    """A conversation as the tab holds it: every message by id, and the one shown last."""

    chat_id: str
    messages: dict[str, JsonDict] = field(default_factory=dict)
    current: str | None = None

    def chain(self, last: str | None) -> list[JsonDict]:
        """The messages from the first to ``last``, along the parents."""
        found: list[JsonDict] = []
        while last is not None:
            found.insert(0, self.messages[last])
            last = self.messages[last]["parentId"]
        return found


class WebUITab:
    """A signed-in tab: an async context manager around a socket.io connection and the chats it has open."""

    def __init__(self, host: WebUIHost, *, token: str | None = None) -> None:
        self.host = host
        self.token = token or host.token
        self.chats: dict[str, Chat] = {}
        self.heard: list[JsonDict] = []  # everything, also what belongs to no turn of this tab
        self._turns: dict[str, Turn] = {}
        self._news = asyncio.Condition()
        self._socket = socketio.AsyncClient(reconnection=False)
        self._http = httpx.AsyncClient(
            base_url=host.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60, trust_env=False
        )

    async def __aenter__(self) -> Self:
        self._socket.on(self.host.profile.event_name, self._hear)
        auth = {"token": self.token}
        await self._socket.connect(
            self.host.url, socketio_path="/ws/socket.io", auth=auth, transports=["websocket"], wait_timeout=20
        )
        await self._socket.call("user-join", {"auth": auth})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.disconnect()
        await self._http.aclose()

    @property
    def session_id(self) -> str:
        """The id that the server knows this tab by (the namespace's, not the transport's)."""
        return str(self._socket.get_sid())

    # --- what a user does ------------------------------------------------------------------------------------------

    async def send(
        self, model: str, text: str, *, chat_id: str | None = None, temporary: bool = False, **extra: Any
    ) -> Turn:
        """Asks a question in a new chat, in ``chat_id``, or in this tab's temporary chat; returns at once."""
        if temporary:
            chat_id = chat_id or (f"temporary:{self.session_id}" if self.host.profile.server_keeps_history else "local")
        chat = self.chats.get(chat_id or "") or Chat(chat_id or "")
        user = _message("user", text, chat.current, models=[model])
        chat.messages[user["id"]] = user
        if user["parentId"]:
            chat.messages[user["parentId"]]["childrenIds"].append(user["id"])
        return await self._ask(chat, user, model, temporary=temporary, **extra)

    async def regenerate(self, turn: Turn, **extra: Any) -> Turn:
        """Asks for another answer to the same question, beside the first."""
        chat = self.chats[turn.chat_id]
        return await self._ask(chat, chat.messages[turn.user_id], turn.model, temporary=_temporary(chat), **extra)

    async def continue_answer(self, turn: Turn, **extra: Any) -> Turn:
        """Asks the model to go on with an answer that ended; the returned turn has the same message id."""
        chat = self.chats[turn.chat_id]
        user = chat.messages[turn.user_id]
        return await self._ask(chat, user, turn.model, temporary=_temporary(chat), message_id=turn.message_id, **extra)

    async def stop(self, turn: Turn) -> None:
        """Presses the stop button."""
        if self.host.profile.server_keeps_history:
            await self._http.post(f"/api/tasks/chat/{turn.chat_id}/stop")
        else:
            for task_id in turn.task_ids:
                await self._http.post(f"/api/tasks/stop/{task_id}")

    async def finished(self, turn: Turn, timeout: float = 30) -> JsonDict:
        """Waits for the end of a turn and returns its message: as stored, or as shown for a temporary chat."""
        await self.until(lambda: turn.ended, timeout)
        chat = self.chats[turn.chat_id]
        if not self.host.profile.server_keeps_history:
            await self._save(chat)
        if not _temporary(chat):
            turn.message = await self._stored(turn)
        chat.messages[turn.message_id] |= turn.message
        return turn.message

    async def ask(self, model: str, text: str, **extra: Any) -> Turn:
        """``send`` and ``finished`` in one."""
        turn = await self.send(model, text, **extra)
        await self.finished(turn)
        return turn

    async def until(self, condition: Any, timeout: float = 30) -> None:
        """Waits until ``condition()`` holds, looking again whenever an event arrives."""
        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(condition)

    # --- how the tab does it ---------------------------------------------------------------------------------------

    async def _ask(
        self, chat: Chat, user: JsonDict, model: str, *, temporary: bool, message_id: str | None = None, **extra: Any
    ) -> Turn:
        continuing = message_id is not None
        if message_id is None:
            answer = _message("assistant", "", user["id"], model=model, done=False)
            chat.messages[answer["id"]] = answer
            user["childrenIds"].append(answer["id"])
            message_id = str(answer["id"])
        chat.current = message_id
        turn = Turn(chat.chat_id, model, user["id"], message_id, [])
        turn.message = dict(chat.messages[message_id]) | {"done": False}
        self._turns[message_id] = turn
        body: JsonDict = {"model": model, "stream": True, "params": {}, "features": {}, "variables": {}}
        body |= {"session_id": self.session_id, "id": message_id, "background_tasks": {}} | extra
        if self.host.profile.server_keeps_history:
            body |= {"chat_id": chat.chat_id or None, "parent_id": user["parentId"], "user_message": user}
            if continuing:
                body["assistant_message_id"] = message_id
            if temporary:
                body["messages"] = self._history(chat, message_id, continuing=continuing)
        else:
            if not temporary:
                await self._save(chat)
            body |= {"chat_id": chat.chat_id, "messages": self._history(chat, message_id, continuing=continuing)}
        reply = await self._http.post("/api/chat/completions", json=body)
        if reply.status_code != 200:
            raise httpx.HTTPStatusError(reply.text[:500], request=reply.request, response=reply)
        started = reply.json() or {}
        chat.chat_id = turn.chat_id = started.get("chat_id") or chat.chat_id
        turn.task_ids = started.get("task_ids") or [started["task_id"]]
        self.chats[chat.chat_id] = chat
        return turn

    def _history(self, chat: Chat, message_id: str, *, continuing: bool) -> list[JsonDict]:
        last = message_id if continuing else chat.messages[message_id]["parentId"]
        sent = []
        for message in chat.chain(last):
            content = message["content"]
            if not self.host.profile.server_keeps_history:
                content = _REASONING_DETAILS.sub("", content).strip()
            entry = {"role": message["role"], "content": content}
            if message.get("output"):
                entry["output"] = message["output"]
            sent.append(entry)
        return sent

    async def _stored(self, turn: Turn) -> JsonDict:
        # After a stop the event may reach the tab before the server has written the partial answer.
        for _ in range(50):
            reply = await self._http.get(f"/api/v1/chats/{turn.chat_id}")
            message: JsonDict = reply.raise_for_status().json()["chat"]["history"]["messages"][turn.message_id]
            if message.get("done"):
                break
            await asyncio.sleep(0.1)
        return message

    async def _save(self, chat: Chat) -> None:
        """Posts the tab's copy of a chat, as the browser of 0.6.28 does before and after every answer."""
        if _temporary(chat):
            return
        body = {
            "title": "New Chat",
            "models": sorted({m["model"] for m in chat.messages.values() if "model" in m}),
            "messages": chat.chain(chat.current),
            "history": {"currentId": chat.current, "messages": chat.messages},
        }
        path = f"/api/v1/chats/{chat.chat_id}" if chat.chat_id else "/api/v1/chats/new"
        reply = await self._http.post(path, json={"chat": body})
        reply.raise_for_status()
        chat.chat_id = reply.json()["id"]

    async def _hear(self, event: JsonDict, *_: Any) -> bool:
        self.heard.append(event)
        turn = self._turns.get(event.get("message_id") or "")
        if turn is not None:
            data = event.get("data") or {}
            turn.events.append((time.monotonic(), data))
            _apply(turn.message, data)
            for chat in self.chats.values():
                if turn.message_id in chat.messages:
                    chat.messages[turn.message_id] |= turn.message
        async with self._news:
            self._news.notify_all()
        return True


def _temporary(chat: Chat) -> bool:
    return chat.chat_id == "local" or chat.chat_id.startswith("temporary:")


def _message(role: str, content: str, parent: str | None, **extra: Any) -> JsonDict:
    entry: JsonDict = {"id": str(uuid.uuid4()), "parentId": parent, "childrenIds": [], "role": role}
    return entry | {"content": content, "timestamp": int(time.time())} | extra


def _apply(message: JsonDict, event: JsonDict) -> None:
    """Changes the tab's copy of a message the way the browser does (what a turn of a pipe can cause)."""
    data = event.get("data")
    match event.get("type"):
        case "chat:completion" if isinstance(data, dict):
            for choice in data.get("choices") or ():
                message["content"] += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            for key in ("content", "output", "usage", "error", "sources"):
                if data.get(key):
                    message[key] = data[key]
            message["done"] = message.get("done") or bool(data.get("done"))
        case "status":
            message.setdefault("statusHistory", []).append(data)
        case "source" | "citation":
            message.setdefault("sources", []).append(data)
        case "message" | "chat:message:delta" if isinstance(data, dict):
            message["content"] += data.get("content", "")
        case "replace" | "chat:message" if isinstance(data, dict):
            message["content"] = data.get("content", "")
        case "chat:message:error" if isinstance(data, dict):
            message |= {"error": data.get("error"), "done": True}
        case "chat:tasks:cancel":
            message["done"] = True
