"""A child process with its pipe, slots and log.

It is started as a plain `python -c` with the parent's `sys.path`, not through multiprocessing: that would import the
parent's main module again in the child, which for the window is Qt and for a user's script without a main guard is the
whole script. No fork ever copies Qt or CUDA state.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mseg_studio.workers.slots import Slot

_BOOT = (
    "import json, sys; setup = json.loads(sys.argv[1]); sys.path[:] = setup['path'];"
    "from mseg_studio.workers.child import boot; boot(setup)"
)
_LOG_TAIL_BYTES = 16_384
_LOG_LIMIT_BYTES = 1 << 20
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
_NO_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory", "Insufficient memory")


class ChildProcess:
    """One running child. Everything it holds is given back by `finish`."""

    def __init__(
        self,
        module: str,
        *,
        name: str,
        arguments: Mapping[str, Any],
        environment: Mapping[str, str],
        request_slot: Slot,
        answer_slot: Slot,
    ) -> None:
        """Start `module`'s `main`. Raises OSError when no process can be started."""
        self._name = name
        self._log = tempfile.TemporaryFile(prefix="mseg-studio-log-")  # noqa: SIM115 - closed by finish
        self.connection, theirs = multiprocessing.Pipe(duplex=True)
        try:
            setup = {
                "path": _search_path(),
                "module": module,
                "name": name,
                "connection": theirs.fileno(),
                "request_slot": request_slot.address,
                "answer_slot": answer_slot.address,
                "arguments": dict(arguments),
            }
            self._process = _spawn(setup, theirs, (request_slot, answer_slot), self._log.fileno(), environment)
        except BaseException:
            self.connection.close()
            self._log.close()
            raise
        finally:
            theirs.close()
        self._pidfd = _open_pidfd(self._process.pid)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def waitables(self) -> list[Connection | int]:
        """What `multiprocessing.connection.wait` takes: the pipe, and the process itself where it can be waited for."""
        if sys.platform == "win32":
            return [self.connection, int(self._process._handle)]
        return [self.connection] if self._pidfd is None else [self.connection, self._pidfd]

    @property
    def has_ended(self) -> bool:
        """Whether the process is over (and reaped)."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def finish(self, timeout_s: float) -> str:
        """Wait for the end, kill after `timeout_s`, give everything back. Returns how it ended, in words."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        words = _words_of_end(self._name, self._process.returncode, self.log_tail())
        self.connection.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._log.close()
        return words

    def log_tail(self) -> list[str]:
        """The last lines that the process wrote on standard output and error, without empty ones."""
        size = os.fstat(self._log.fileno()).st_size
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        text = self._log.read().decode(errors="replace")
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    def trim_log(self) -> None:
        """Empty the log when it has grown large, so that a chatty decoder cannot fill the disk."""
        if os.fstat(self._log.fileno()).st_size > _LOG_LIMIT_BYTES:
            self._log.truncate(0)


def _spawn(
    setup: dict[str, Any], theirs: Connection, slots: tuple[Slot, Slot], log: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-X", "faulthandler", "-c", _BOOT, json.dumps(setup)]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    if sys.platform == "win32":
        os.set_handle_inheritable(theirs.fileno(), True)
        startup = subprocess.STARTUPINFO()
        startup.lpAttributeList = {"handle_list": [theirs.fileno()]}
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            startupinfo=startup,
            creationflags=flags,
        )
    # The log is shared with the child by descriptor: without O_APPEND a trimmed log would grow a hole.
    _append_mode(log)
    inherited = (theirs.fileno(), *(slot.descriptor for slot in slots))
    # Its own session: Ctrl-C in the terminal is the parent's to handle, which then asks the child to quit.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environ,
        pass_fds=inherited,
        start_new_session=True,
    )


def _append_mode(descriptor: int) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


def _search_path() -> list[str]:
    """The parent's module search path with the current folder by its name, so that the child finds the same code."""
    return [str(Path(entry).absolute()) if entry else str(Path.cwd()) for entry in sys.path]


def _open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none (the pipe must do)."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _words_of_end(name: str, code: int, log_tail: list[str]) -> str:
    who = f"the {name} process"
    if code != -9 and any(mark in line for line in log_tail[-20:] for mark in _NO_MEMORY):
        return f"{who} ran out of memory"
    if code < 0:
        try:
            signal_name = signal.Signals(-code).name
        except ValueError:
            signal_name = ""
        if signal_name in _CRASHES:
            return f"{who} crashed (signal {-code}, {signal_name})"
        return f"{who} was killed (signal {-code})"
    last = f": {log_tail[-1]}" if log_tail else ""
    if code == 0:
        return f"{who} ended without being asked to{last}"
    shown = f"0x{code:08X}" if code > 0xFFFF else str(code)
    return f"{who} ended with code {shown}{last}"
