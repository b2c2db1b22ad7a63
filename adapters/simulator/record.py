"""What the simulator remembers: requests seen, streams open, faults waiting, generations told.

What lives here: ``RecordedRequest`` and the bounded ``RequestLog``. Not here: HTTP.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from openrouter_pipe.adapters.simulator.config import Knobs

Json = dict[str, Any]


@frozen
class RecordedRequest:
    """One request. path: relative to the base URL, without query. headers: lower-case names.

    body: parsed JSON, None when there was none. at: clock seconds. status: None until the reply began.
    aborted: the client left, or the connection was reset, before the reply was complete. finished: the reply is over.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    at: float
    status: int | None = None
    aborted: bool = False
    finished: bool = False


class RequestLog:
    """A bounded log; the oldest entries are forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: OrderedDict[int, RecordedRequest] = OrderedDict()
        self._next = 0
        self._faults: deque[Knobs] = deque()
        self._strikes: Counter[str] = Counter()
        self._generations: OrderedDict[str, Json] = OrderedDict()
        self._lookups: Counter[str] = Counter()
        self.total = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked for, oldest first."""
        return list(self._rows.values())

    @property
    def open(self) -> int:
        """Requests whose reply is not over."""
        return sum(not row.finished for row in self._rows.values())

    def add(self, request: RecordedRequest) -> int:
        """Note a request; returns its number."""
        self._next += 1
        self.total += 1
        self._rows[self._next] = request
        while len(self._rows) > self._limit:
            self._rows.popitem(last=False)
        return self._next

    def update(self, number: int, **changes: object) -> None:
        """Say more about the request of this number; nothing if it is forgotten."""
        if number in self._rows:
            self._rows[number] = evolve(self._rows[number], **changes)  # type: ignore[arg-type]

    def clear(self) -> None:
        """Forget requests, waiting faults and how often faults have struck; requests under way are forgotten too."""
        self._rows.clear()
        self._faults.clear()
        self._strikes.clear()
        self.total = 0

    def queue(self, knobs: Knobs) -> None:
        """A fault for the next ``times`` (default 1) requests to its path."""
        self._faults.append(evolve(knobs, times=knobs.times or 1))

    def queued_for(self, path: str, inference: bool) -> Knobs:
        """The first waiting fault for this path, one of its strikes used up; no knobs when there is none."""
        for place, knobs in enumerate(self._faults):
            if knobs.path == path or (knobs.path is None and inference):
                left = (knobs.times or 1) - 1
                if left:
                    self._faults[place] = evolve(knobs, times=left)
                else:
                    del self._faults[place]
                return evolve(knobs, times=None, path=None)
        return Knobs()

    def strikes(self, key: str, times: int) -> bool:
        """Whether a fault limited to ``times`` strikes still strikes; counts this one."""
        self._strikes[key] += 1
        return self._strikes[key] <= times

    def tell_generation(self, generation_id: str, row: Json) -> None:
        """Note what a generation cost, for who asks for it by its id."""
        self._generations[generation_id] = row
        while len(self._generations) > self._limit:
            self._generations.popitem(last=False)

    def generation(self, generation_id: str, misses: int) -> Json | None:
        """A finished generation; None for an unknown one and for the first ``misses`` questions."""
        row = self._generations.get(generation_id)
        if row is None:
            return None
        self._lookups[generation_id] += 1
        return row if self._lookups[generation_id] > misses else None
