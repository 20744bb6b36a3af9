"""Requests that wait for a worker: by priority, then by age; newest only within a lane."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mseg_studio.workers.slots import Array


@dataclass(frozen=True, eq=False)
class Submitted:
    """One request as `WorkerClient.submit` was given it."""

    request_id: int
    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    lane: str | None = None
    overtake: bool = False
    priority: int = 0
    input_key: str = ""
    limit_seconds: float | None = None


class Waiting:
    """The waiting requests of one worker."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._by_id: dict[int, Submitted] = {}
        self._by_lane: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, request: Submitted) -> Submitted | None:
        """Let `request` wait. Returns the older request of its lane, which waits no longer."""
        replaced = None
        if request.lane is not None:
            replaced = self.remove(self._by_lane.get(request.lane, -1))
            self._by_lane[request.lane] = request.request_id
        self._by_id[request.request_id] = request
        heapq.heappush(self._heap, (-request.priority, request.request_id))
        return replaced

    def remove(self, request_id: int) -> Submitted | None:
        """Take one request out; None when it does not wait."""
        request = self._by_id.pop(request_id, None)
        if request is not None and request.lane is not None:
            self._by_lane.pop(request.lane, None)
        return request

    def next(self) -> Submitted | None:
        """Take out the request whose turn it is; None when nothing waits."""
        while self._heap:
            request = self.remove(heapq.heappop(self._heap)[1])
            if request is not None:
                return request
        return None

    def clear(self) -> list[Submitted]:
        """Take out all requests, oldest first."""
        removed = sorted(self._by_id.values(), key=lambda request: request.request_id)
        self._heap.clear()
        self._by_id.clear()
        self._by_lane.clear()
        return removed
