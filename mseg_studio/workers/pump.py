"""The thread behind a WorkerClient: one loop owns the child, its pipe, its slots and the clock, without locks."""

from __future__ import annotations

import collections
import contextlib
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, TypeVar

from mseg_studio.workers.framing import ProtocolError, receive, send
from mseg_studio.workers.outcome import Death, Failure, Reply
from mseg_studio.workers.process import ChildProcess
from mseg_studio.workers.restart import RestartPolicy
from mseg_studio.workers.slots import Slot
from mseg_studio.workers.waiting import Submitted, Waiting

START_LIMIT_S = 180.0
"""A child that is not ready by then is taken for hung."""
CANCEL_GRACE_S = 2.0
_REQUEST_KEYS = ("type", "request_id", "arrays")

Command = Submitted | tuple[str, Any]
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass
class _InFlight:
    """The request that the child works on."""

    request: Submitted
    sent_s: float
    last_sign_s: float
    longest_gap_s: float = 0.0
    """Longest time between two signs of life: a tile."""
    settled: bool = False
    """The caller has had its Failure; what still comes is dropped."""
    kill_at_s: float | None = None


class Pump:
    """See `WorkerClient`, the only user. `post`, `close`, `busy` and `pid` may be used from any thread."""

    def __init__(
        self,
        module: str,
        *,
        name: str,
        arguments: dict[str, Any],
        environment: dict[str, str],
        on_reply: Callable[[Reply], None],
        on_failed: Callable[[Failure], None],
        on_died: Callable[[Death], None],
        on_ready: Callable[[dict[str, Any]], None],
    ) -> None:
        self.name = name
        self._module, self._arguments, self._environment = module, arguments, environment
        self._on_reply, self._on_failed, self._on_died, self._on_ready = on_reply, on_failed, on_died, on_ready
        self._outstanding: set[int] = set()
        self._inbox: collections.deque[Command] = collections.deque()
        self._wake_out, self._wake_in = multiprocessing.Pipe(duplex=False)
        self._wake_lock = threading.Lock()
        self._awake = False
        self._closing_timeout_s: float | None = None
        self._slots: tuple[Slot, Slot] | None = None
        self._child: ChildProcess | None = None
        self._started_s = 0.0
        self._ready = False
        self._restart_at_s: float | None = 0.0
        self._waiting = Waiting()
        self._in_flight: _InFlight | None = None
        self._policy = RestartPolicy()

    # -- from any thread ----------------------------------------------------------------------------------------------

    def post(self, command: Command) -> None:
        """Hand a request or command to the thread."""
        if isinstance(command, Submitted):
            self._outstanding.add(command.request_id)
        self._inbox.append(command)
        self._wake()

    def close(self, timeout_s: float) -> None:
        """Make the thread end, giving the child `timeout_s` to quit."""
        self._closing_timeout_s = timeout_s
        self._wake()

    @property
    def busy(self) -> bool:
        """Whether a request is not settled yet."""
        return bool(self._outstanding)

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        child = self._child
        return None if child is None else child.pid

    def dispose(self) -> None:
        """Give the pipe and the slots back. The thread has ended or never ran."""
        with self._wake_lock:
            self._wake_in.close()
            self._wake_out.close()
        for slot in self._slots or ():
            slot.close()
        self._slots = None

    def _wake(self) -> None:
        with self._wake_lock:
            if not self._awake and not self._wake_in.closed:
                self._awake = True
                self._wake_in.send_bytes(b"!")

    # -- the thread ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The thread's life."""
        try:
            while self._closing_timeout_s is None:
                self._take_commands()
                self._start_when_due()
                self._send_next()
                self._listen()
                self._enforce_limits()
        finally:
            self._end_child()
            self.dispose()

    def _take_commands(self) -> None:
        while self._inbox:
            command = self._inbox.popleft()
            if isinstance(command, Submitted):
                self._accept(command)
            elif command[0] == "cancel":
                self._cancel(command[1])
            else:
                self._policy.forgive(command[1])

    def _accept(self, request: Submitted) -> None:
        if self._policy.is_set_aside(request.input_key):
            message = f"set aside: the {self.name} process ended each of the last times it was given this"
            self._fail(Failure(request.request_id, "WorkerDied", message, request.input_key))
            return
        if self._child is None and self._restart_at_s is None:
            self._policy.try_again()
            self._restart_at_s = 0.0
        replaced = self._waiting.add(request)
        if replaced is not None:
            self._fail(Failure(replaced.request_id, "Cancelled", "overtaken by a newer request"))
        flying = self._in_flight
        if request.overtake and flying is not None and flying.request.lane == request.lane:
            self._cancel_in_flight(flying, "overtaken by a newer request")

    def _cancel(self, request_id: int | None) -> None:
        gone = self._waiting.clear() if request_id is None else [self._waiting.remove(request_id)]
        for request in gone:
            if request is not None:
                self._fail(Failure(request.request_id, "Cancelled", "cancelled"))
        flying = self._in_flight
        if flying is not None and request_id in (None, flying.request.request_id):
            self._cancel_in_flight(flying, "cancelled")

    def _cancel_in_flight(self, flying: _InFlight, why: str) -> None:
        if flying.settled:
            return
        flying.settled = True
        flying.kill_at_s = time.monotonic() + CANCEL_GRACE_S + 2 * flying.longest_gap_s
        self._fail(Failure(flying.request.request_id, "Cancelled", why))
        if self._child is not None:
            with contextlib.suppress(OSError):  # a dead child is noticed by the next wait
                send(self._child.connection, {"type": "cancel", "request_id": flying.request.request_id})

    def _start_when_due(self) -> None:
        if self._child is not None or self._restart_at_s is None or time.monotonic() < self._restart_at_s:
            return
        self._ready = False
        self._started_s = time.monotonic()
        self._restart_at_s = None
        try:
            if self._slots is None:
                self._slots = (Slot.create(), Slot.create())
            self._child = ChildProcess(
                self._module,
                name=self.name,
                arguments=self._arguments,
                environment=self._environment,
                request_slot=self._slots[0],
                answer_slot=self._slots[1],
            )
        except OSError as error:
            self._after_death(f"the {self.name} process cannot be started: {error}", input_key="", request_id=None)

    def _send_next(self) -> None:
        child, slots = self._child, self._slots
        if child is None or slots is None or not self._ready:
            return
        while self._in_flight is None and (request := self._waiting.next()) is not None:
            now_s = time.monotonic()
            try:
                message = {**request.fields, "type": request.type, "request_id": request.request_id}
                message["arrays"] = slots[0].write(request.arrays)
                self._in_flight = _InFlight(request, now_s, now_s)
                send(child.connection, message)
            except ProtocolError as error:
                self._in_flight = None
                self._fail(Failure(request.request_id, "Internal", str(error), request.input_key))
            except OSError as error:
                if self._in_flight is None:
                    text = f"no room to hand over the pixels: {error.strerror or error}"
                    self._fail(Failure(request.request_id, "DeviceMemoryError", text, request.input_key))
                    continue
                # The child died before it was asked: the request is not to blame and waits for the next one.
                self._in_flight = None
                self._waiting.add(request)
                return

    def _listen(self) -> None:
        child = self._child
        sources: list[Any] = [self._wake_out, *(child.waitables if child is not None else [])]
        happened = wait(sources, self._seconds_to_next_limit())
        if self._wake_out in happened:
            with self._wake_lock:
                self._wake_out.recv_bytes()
                self._awake = False
        if child is None:
            return
        try:
            # Before a death is believed, everything that the child managed to say is heard.
            while child.connection.poll():
                self._hear(receive(child.connection))
        except (EOFError, OSError):
            self._bury(kill=False)
        except ProtocolError as error:
            self._bury(kill=True, because=f"the {self.name} process sent a broken message: {error}")
        else:
            if child.has_ended and not child.connection.poll():
                self._bury(kill=False)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            self._ready = True
            self._tell(self._on_ready, {key: value for key, value in message.items() if key != "type"})
            return
        flying = self._in_flight
        if flying is None or message.get("request_id") != flying.request.request_id:
            raise ProtocolError(f"'{message['type']}' for a request that is not in flight")
        now_s = time.monotonic()
        flying.longest_gap_s = max(flying.longest_gap_s, now_s - flying.last_sign_s)
        flying.last_sign_s = now_s
        if message["type"] == "error":
            self._in_flight = None
            if not flying.settled:
                code, text, file = (str(message.get(key, "")) for key in ("code", "message", "file"))
                self._fail(Failure(flying.request.request_id, code, text, file or flying.request.input_key))
        elif message["type"] == "result":
            self._in_flight = None
            self._policy.succeeded()
            if self._child is not None:
                self._child.trim_log()
            if not flying.settled:
                self._pass_on(message)
        elif not flying.settled:
            self._pass_on(message)

    def _pass_on(self, message: dict[str, Any]) -> None:
        described = message.get("arrays", [])
        if not isinstance(described, list) or self._slots is None:
            raise ProtocolError("the arrays of an answer are no list")
        try:
            arrays = self._slots[1].copies(described)
        except MemoryError:
            self._fail(Failure(message["request_id"], "DeviceMemoryError", "not enough memory for the answer"))
            return
        fields = {key: value for key, value in message.items() if key not in _REQUEST_KEYS}
        if message["type"] == "result":
            self._outstanding.discard(message["request_id"])
        self._tell(self._on_reply, Reply(message["request_id"], message["type"], fields, arrays))

    def _fail(self, failure: Failure) -> None:
        self._outstanding.discard(failure.request_id)
        self._tell(self._on_failed, failure)

    def _tell(self, callback: Callable[[_T], None], what: _T) -> None:
        """Call the user's code; what goes wrong there must not end the thread that watches the child."""
        try:
            callback(what)
        except Exception:  # noqa: BLE001 - the boundary of the thread; the log has the traceback
            _log.exception("a callback of the %s client failed", self.name)

    def _seconds_to_next_limit(self) -> float | None:
        limits = [self._restart_at_s] if self._child is None else []
        if self._child is not None and not self._ready:
            limits.append(self._started_s + START_LIMIT_S)
        flying = self._in_flight
        if flying is not None:
            limits.append(flying.kill_at_s)
            if flying.request.limit_seconds is not None and not flying.settled:
                limits.append(flying.sent_s + flying.request.limit_seconds)
        due = [limit for limit in limits if limit is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _enforce_limits(self) -> None:
        now_s = time.monotonic()
        flying = self._in_flight
        if self._child is not None and not self._ready and now_s >= self._started_s + START_LIMIT_S:
            self._bury(kill=True, because=f"the {self.name} process was not ready after {START_LIMIT_S:.0f} s")
        elif flying is not None and flying.kill_at_s is not None and now_s >= flying.kill_at_s:
            self._bury(kill=True, because=f"the {self.name} process was stopped: it did not answer a cancel")
        elif flying is not None and not flying.settled and flying.request.limit_seconds is not None:
            limit_s = flying.request.limit_seconds
            if now_s >= flying.sent_s + limit_s:
                flying.settled = True
                self._policy.blame(flying.request.input_key)
                text = f"took longer than {limit_s:g} s"
                self._fail(Failure(flying.request.request_id, "TimeLimit", text, flying.request.input_key))
                self._bury(kill=True, because=f"the {self.name} process was stopped: a request {text}")

    def _bury(self, *, kill: bool, because: str = "") -> None:
        """The child is over, or is now: reap it, tell, and plan its return."""
        child, flying = self._child, self._in_flight
        if child is None:
            return
        if kill:
            child.kill()
        words = because or child.finish(timeout_s=1.0)
        if because:
            child.finish(timeout_s=1.0)
        self._child = None
        self._in_flight = None
        deliberate = flying is not None and flying.settled and kill
        request_id = None if flying is None or flying.settled else flying.request.request_id
        if flying is not None and request_id is not None:
            self._fail(Failure(request_id, "WorkerDied", words, flying.request.input_key))
        if deliberate:
            self._restart_at_s = 0.0
            self._tell(self._on_died, Death(words, 0.0, None, deliberate=True))
        else:
            key = flying.request.input_key if flying is not None and request_id is not None else ""
            self._after_death(words, input_key=key, request_id=request_id)

    def _after_death(self, words: str, *, input_key: str, request_id: int | None) -> None:
        delay_s = self._policy.died(input_key, was_ready=self._ready)
        if self._policy.hopeless:
            self._restart_at_s = None
            for request in self._waiting.clear():
                self._fail(Failure(request.request_id, "WorkerDied", words, request.input_key))
            self._tell(self._on_died, Death(words, None, request_id))
        else:
            self._restart_at_s = time.monotonic() + delay_s
            self._tell(self._on_died, Death(words, delay_s, request_id))

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(OSError):
                send(child.connection, {"type": "quit"})
            child.finish(self._closing_timeout_s or 0.0)
