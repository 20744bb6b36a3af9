"""A worker client whose events a test can wait for, in order."""

from __future__ import annotations

import queue
from typing import Any

from mseg_studio.workers.client import WorkerClient
from mseg_studio.workers.outcome import Death, Failure, Reply

Event = Reply | Failure | Death | dict


class Listened:
    """A client and what it said, in order."""

    def __init__(self, **options: Any) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        put = self.events.put
        self.client = WorkerClient(
            options.pop("module", "echo_worker"),
            on_reply=put,
            on_failed=put,
            on_died=put,
            on_ready=put,
            name="echo",
            **options,
        )

    def next(self, kind: type, timeout_s: float = 20.0) -> Any:
        """The next event of `kind`; others before it are dropped."""
        while True:
            event = self.events.get(timeout=timeout_s)
            if isinstance(event, kind):
                return event

    def result(self, request_id: int) -> Reply:
        """The result of one request; fails when it failed."""
        while True:
            event = self.events.get(timeout=20.0)
            if isinstance(event, Failure) and event.request_id == request_id:
                raise AssertionError(event)
            if isinstance(event, Reply) and event.request_id == request_id and event.final:
                return event

    def failure(self, request_id: int) -> Failure:
        """The failure of one request; fails when it succeeded."""
        while True:
            event = self.events.get(timeout=20.0)
            if isinstance(event, Reply) and event.request_id == request_id and event.final:
                raise AssertionError(event)
            if isinstance(event, Failure) and event.request_id == request_id:
                return event
