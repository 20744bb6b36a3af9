"""The child's side of a worker: take requests, answer them, stop when asked, and end with the parent."""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.workers.framing import ProtocolError, check_fields, receive, send
from mseg_studio.workers.slots import Array, Slot

_PROGRESS_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back: JSON values, and arrays that are copied into the answer slot."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Request:
    """One request in a handler's hands."""

    type: str
    request_id: int
    fields: Mapping[str, Any]
    arrays: Mapping[str, Array]
    """Read-only views into the request slot: valid until the handler returns. Copy what is kept longer."""
    cancel: CancelToken
    _link: WorkerLink

    def progress(self, progress: Progress) -> None:
        """Tell the parent how far this request is; at most 20 a second, but always the last step."""
        self._link.send_progress(self.request_id, progress)

    def tell(self, message_type: str, fields: Mapping[str, Any]) -> None:
        """Tell the parent something about this request before its answer. Not `result`, `error` or `progress`."""
        check_fields(fields)
        if message_type in ("ready", "result", "error", "progress"):
            raise ValueError(f"'{message_type}' is the framing's own")
        self._link.send({"type": message_type, "request_id": self.request_id, **fields})


Handler = Callable[[Request], Answer | None]


class WorkerLink:
    """The child's end of the pipe and its slots. A module that is a worker defines `main(link: WorkerLink) -> None`."""

    def __init__(
        self, connection: Connection, *, request_slot: Slot, answer_slot: Slot, arguments: dict[str, Any]
    ) -> None:
        self.arguments = arguments
        """JSON values that the parent's client was made with."""
        self._connection = connection
        self._request_slot, self._answer_slot = request_slot, answer_slot
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancels: dict[int, CancelToken] = {}
        self._lock = threading.Lock()
        self._progress_sent_s = 0.0
        self._serving = False
        threading.Thread(target=self._listen, name="worker-listener", daemon=True).start()

    def serve(self, handlers: Mapping[str, Handler], *, ready: Mapping[str, Any] | None = None) -> None:
        """Answer requests, one at a time, until the parent asks to quit. `ready` goes to the parent first.

        A handler's MSegStudioError, Cancelled, MemoryError or any other Exception becomes an error message; the worker
        lives on.
        """
        self._serving = True
        self.send({"type": "ready", **(ready or {})})
        while (message := self._requests.get()) is not None:
            request_id = message["request_id"]
            try:
                reply = self._answer(handlers, message)
            finally:
                self._cancels.pop(request_id, None)
            self.send({**reply, "request_id": request_id})
            del reply, message

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; ends the process when the parent is gone."""
        try:
            with self._lock:
                send(self._connection, message)
        except OSError:
            os._exit(0)

    def send_progress(self, request_id: int, progress: Progress) -> None:
        """See `Request.progress`."""
        now_s = time.monotonic()
        if now_s - self._progress_sent_s < _PROGRESS_INTERVAL_S and progress.done != progress.total:
            return
        self._progress_sent_s = now_s
        left = progress.seconds_left
        self.send(
            {
                "type": "progress",
                "request_id": request_id,
                "done": progress.done,
                "total": progress.total,
                "what": progress.what,
                "seconds_left": left,
            }
        )

    def _answer(self, handlers: Mapping[str, Handler], message: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._handle(handlers, message)
        except Cancelled:
            return {"type": "error", "code": "Cancelled", "message": "cancelled", "file": ""}
        except MSegStudioError as error:
            return {"type": "error", "code": error.code, "message": str(error), "file": error.path or ""}
        except MemoryError:
            traceback.print_exc()
            return {"type": "error", "code": "DeviceMemoryError", "message": "ran out of memory", "file": ""}
        except Exception as error:  # noqa: BLE001 - the boundary of the process: the parent gets it in words
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            return {"type": "error", "code": "Internal", "message": text, "file": ""}

    def _handle(self, handlers: Mapping[str, Handler], message: dict[str, Any]) -> dict[str, Any]:
        kind = message["type"]
        if kind not in handlers:
            raise ProtocolError(f"no handler for '{kind}'")
        cancel = self._cancels[message["request_id"]]
        cancel.raise_if_cancelled()
        arrays = self._request_slot.views(message.get("arrays", []))
        fields = {key: value for key, value in message.items() if key not in ("type", "request_id", "arrays")}
        answer = handlers[kind](Request(kind, message["request_id"], fields, arrays, cancel, self)) or Answer()
        check_fields(answer.fields)
        # A late answer is worth nothing: do not spend the copy on it.
        cancel.raise_if_cancelled()
        return {"type": "result", **answer.fields, "arrays": self._answer_slot.write(answer.arrays)}

    def _listen(self) -> None:
        """Take messages as they come, in a thread of its own: cancel must be heard while a request is worked on."""
        try:
            while True:
                message = receive(self._connection)
                if message["type"] == "cancel":
                    token = self._cancels.get(message["request_id"])
                    if token is not None:
                        token.cancel()
                elif message["type"] == "quit":
                    if not self._serving:
                        os._exit(0)  # still importing or loading: nothing to finish
                    for token in list(self._cancels.values()):
                        token.cancel()
                    self._requests.put(None)
                    return
                else:
                    self._cancels[message["request_id"]] = CancelToken()
                    self._requests.put(message)
        except (EOFError, OSError):
            os._exit(0)  # the parent is gone: nobody wants the work, and nothing is to be saved
        except (ProtocolError, KeyError) as error:
            sys.stderr.write(f"broken message from the parent: {error}\n")
            os._exit(3)


def boot(setup: dict[str, Any]) -> None:
    """Entry point of the process: attach to what the parent made and run the worker module's `main`."""
    _die_first_when_memory_is_short()
    link = WorkerLink(
        _open_connection(setup["connection"]),
        request_slot=Slot.attach(setup["request_slot"]),
        answer_slot=Slot.attach(setup["answer_slot"]),
        arguments=setup["arguments"],
    )
    importlib.import_module(setup["module"]).main(link)


def _open_connection(handle: int) -> Connection:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        return PipeConnection(handle)
    os.set_inheritable(handle, False)
    return Connection(handle)


def _die_first_when_memory_is_short() -> None:
    """Ask Linux to end this process rather than the window when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
