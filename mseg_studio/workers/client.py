"""The parent's side of a worker: submit requests, hear answers, survive the child.

All the work is done by one thread a client (`pump.py`): it starts the child, sends, receives, copies pixels in and out
of the slots, watches the clock and the child's life. Callers never block, callbacks run in that thread.
"""

from __future__ import annotations

import atexit
import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mseg_studio.workers.framing import check_fields
from mseg_studio.workers.outcome import Death, Failure, Reply
from mseg_studio.workers.pump import Pump
from mseg_studio.workers.slots import Array
from mseg_studio.workers.waiting import Submitted


class WorkerClient:
    """A child process that answers one request at a time and comes back when it dies.

    Every submitted request ends in exactly one final `Reply` or one `Failure`, except that `close` ends all silently.
    """

    def __init__(
        self,
        module: str,
        *,
        on_reply: Callable[[Reply], None],
        on_failed: Callable[[Failure], None],
        on_died: Callable[[Death], None],
        on_ready: Callable[[dict[str, Any]], None] | None = None,
        name: str = "worker",
        arguments: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`module` defines `main(link: WorkerLink)`; `arguments` (JSON) and `environment` are given to the child.

        The callbacks run in the client's thread and must be short: emit a queued signal, put into a queue. They may
        call `submit` and `cancel`. Arrays of a Reply belong to the receiver.
        """
        self._pump = Pump(
            module,
            name=name,
            arguments=dict(arguments or {}),
            environment=dict(environment or {}),
            on_reply=on_reply,
            on_failed=on_failed,
            on_died=on_died,
            on_ready=on_ready or (lambda fields: None),
        )
        self._thread: threading.Thread | None = None
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the child in the background; returns at once. Calling it again does nothing."""
        with self._lock:
            if self._closed:
                raise ValueError("the worker was closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._pump.run, name=f"{self._pump.name}-client", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def submit(
        self,
        type: str,
        fields: Mapping[str, Any] | None = None,
        *,
        arrays: Mapping[str, Array] | None = None,
        lane: str | None = None,
        overtake: bool = False,
        priority: int = 0,
        input_key: str = "",
        limit_seconds: float | None = None,
    ) -> int:
        """Queue a request and return its id; ids increase, so a later id is a newer generation.

        One request is in flight, the others wait: highest `priority` first, then oldest. A `lane` has at most one
        waiting request: a newer one replaces it (Failure "Cancelled"), and with `overtake` also cancels the one of its
        lane in flight. `arrays` are copied into the slot later and must not change. `input_key` (a path) is blamed when
        the child dies in this request; after three deaths it is refused. After `limit_seconds` in flight the child is
        killed (Failure "TimeLimit").
        """
        check_fields(fields or {})
        request = Submitted(
            next(self._ids),
            type,
            dict(fields or {}),
            dict(arrays or {}),
            lane=lane,
            overtake=overtake,
            priority=priority,
            input_key=input_key,
            limit_seconds=limit_seconds,
        )
        self._pump.post(request)
        return request.request_id

    def cancel(self, request_id: int | None = None) -> None:
        """Cancel one request, or all. Each gets its Failure "Cancelled" at once; a late answer is dropped.

        The child is told, and killed when it has not stopped 2 s plus twice its last progress interval later.
        """
        self._pump.post(("cancel", request_id))

    def forgive(self, input_key: str) -> None:
        """Try `input_key` again although the child died of it three times."""
        self._pump.post(("forgive", input_key))

    @property
    def busy(self) -> bool:
        """Whether a request is in flight or waits (a cancelled one counts no more)."""
        return self._pump.busy

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._pump.pid

    def close(self, timeout_s: float = 2.0) -> None:
        """Ask the child to quit, kill it after `timeout_s`, and give everything back: process, thread, slots."""
        with self._lock:
            first, self._closed = not self._closed, True
            thread = self._thread
        if first:
            atexit.unregister(self.close)
            self._pump.close(timeout_s)
        if thread is None:
            self._pump.dispose()
        elif thread is not threading.current_thread():
            thread.join()
