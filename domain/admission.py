"""Admission: how many turns run at once, how many may wait, and who is next.

At most ``max_running`` permits are out and at most ``max_waiting`` turns wait; whoever comes then is refused at once.
Permits go round among the users that wait, first come first served within one user, so that a user with a hundred
waiting turns delays another one's single turn by one place only. One user alone may fill the waiting room; when it is
full and somebody with fewer waiting turns comes, the newest waiting turn of the user with the most is refused instead.

The limit is the one of the latest policy seen: raising it wakes waiting turns at once, lowering it acts as turns end.
Everything here runs in one event loop, takes constant time per call and does no waiting but the one in the room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from attrs import frozen

_log: Final = logging.getLogger(__name__)

_Place: TypeAlias = "asyncio.Future[None]"


@frozen
class AdmissionPolicy:
    """How many turns may run (at least 1) and how many may wait (0: none)."""

    max_running: int
    max_waiting: int = 1000


class BusyError(Exception):
    """All permits are out and the waiting room is full (or its last place went to a user with fewer waiting turns)."""


class Admission:
    """The process's permits and its waiting room. ``subject`` names what runs, for the log."""

    def __init__(self, subject: str = "Turns") -> None:
        self._subject = subject
        self._limit = 0
        self._running = 0
        self._room = _WaitingRoom()

    @property
    def running(self) -> int:
        """How many permits are out."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return len(self._room)

    def apply(self, policy: AdmissionPolicy) -> None:
        """Obey ``policy`` from now on; `permit` does this by itself."""
        if policy.max_running == self._limit:
            return
        if policy.max_running < self._limit:
            _log.info(
                "%s running at once: limit lowered from %d to %d; %d run now, it acts as they end",
                self._subject,
                self._limit,
                policy.max_running,
                self._running,
            )
        elif self._limit:
            _log.info("%s running at once: limit raised from %d to %d", self._subject, self._limit, policy.max_running)
        self._limit = policy.max_running
        self._grant()

    def permit(self, user_id: str, policy: AdmissionPolicy) -> AbstractAsyncContextManager[None]:
        """A context within which the turn runs; entering it waits for a permit, leaving it gives the permit back.

        Cancelling while waiting leaves the room. An empty ``user_id`` is a user like any other.

        Raises:
            BusyError: on entering, at once when there is no room.
        """
        return _Permit(self, user_id, policy)

    async def enter(self, user_id: str, policy: AdmissionPolicy) -> None:
        """Take a permit that is given back with `leave`; see `permit`."""
        self.apply(policy)
        if self._running < self._limit and not self._room:
            self._running += 1
        else:
            await self._wait(user_id, policy.max_waiting)

    def leave(self) -> None:
        """Give a permit back."""
        self._running -= 1
        self._grant()

    async def _wait(self, user_id: str, max_waiting: int) -> None:
        if len(self._room) >= max_waiting and not self._room.make_room_for(user_id):
            raise BusyError("The server is busy: all places are taken")
        place: _Place = asyncio.get_running_loop().create_future()
        self._room.enter(user_id, place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()  # granted and cancelled within one step of the loop
            else:
                self._room.leave(user_id, place)
            raise

    def _grant(self) -> None:
        while self._running < self._limit and self._room:
            place = self._room.next()
            if not place.done():  # its turn was cancelled and has not run since
                self._running += 1
                place.set_result(None)


class _Permit:
    """One permit while it is out. A class of its own because one is open as long as every stream."""

    __slots__ = ("_admission", "_policy", "_user_id")

    def __init__(self, admission: Admission, user_id: str, policy: AdmissionPolicy) -> None:
        self._admission = admission
        self._user_id = user_id
        self._policy = policy

    async def __aenter__(self) -> None:
        await self._admission.enter(self._user_id, self._policy)

    async def __aexit__(self, *_: object) -> None:
        self._admission.leave()


class _WaitingRoom:
    """Who waits, by user, with every operation in constant time.

    ``_users`` holds the users in the order in which they are served, each with their places in order of arrival.
    ``_by_count`` groups users by how many places they hold, so that the one with the most is found without a search;
    counts change by one at a time, hence ``_most`` needs no search either.
    """

    def __init__(self) -> None:
        self._users: OrderedDict[str, OrderedDict[_Place, None]] = OrderedDict()
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        self._most = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def enter(self, user_id: str, place: _Place) -> None:
        places = self._users.setdefault(user_id, OrderedDict())
        places[place] = None
        self._count(user_id, len(places) - 1, len(places))

    def leave(self, user_id: str, place: _Place) -> None:
        """Give up a place; nothing happens when it is gone already."""
        places = self._users.get(user_id)
        if places is None or place not in places:
            return
        del places[place]
        self._count(user_id, len(places) + 1, len(places))
        if not places:
            del self._users[user_id]

    def next(self) -> _Place:
        """Take the place that is served now."""
        user_id, places = next(iter(self._users.items()))
        place = next(iter(places))
        self.leave(user_id, place)
        if user_id in self._users:
            self._users.move_to_end(user_id)
        return place

    def make_room_for(self, user_id: str) -> bool:
        """Refuse the newest place of the user with the most, if that user holds clearly more than ``user_id``."""
        if self._most < len(self._users.get(user_id, ())) + 2:
            return False
        heaviest = next(iter(self._by_count[self._most]))
        place = next(reversed(self._users[heaviest]))
        self.leave(heaviest, place)
        if not place.done():
            place.set_exception(BusyError("The server is busy: the place went to a user with fewer waiting turns"))
        return True

    def _count(self, user_id: str, before: int, after: int) -> None:
        self._size += after - before
        if before:
            group = self._by_count[before]
            del group[user_id]
            if not group:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, OrderedDict())[user_id] = None
        if after > self._most or (before == self._most and before not in self._by_count):
            self._most = after
