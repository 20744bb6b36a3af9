"""How busy the devices of a run are: processes and host by psutil, NVIDIA cards by their driver. No Qt, no torch."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mseg_studio.training.run_processes import rank_files, rank_processes


@dataclass(frozen=True, slots=True)
class Meter:
    """One line: what it is, how busy (0 to 1, None: not known), memory used and there."""

    name: str
    busy: float | None
    used_bytes: int
    total_bytes: int
    note: str = ""


class Meters:
    """Belongs to one thread at a time; the share of time is that since the last look."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._nvml: Any = None
        self._tried = False

    def read(self, folder: Path) -> tuple[Meter, ...]:
        """Every process of the run on this machine, the cards they use, and the host."""
        files, host = rank_files(folder), socket.gethostname()
        alive = {rank: process.pid for rank, process in rank_processes(folder).items() if process.alive}
        self._known = {pid: self._known.get(pid) or psutil.Process(pid) for pid in self._living(alive.values())}
        meters = []
        cards: dict[int, None] = {}
        for rank, pid in alive.items():
            device = str(files[rank].get("device", ""))
            if device.startswith("cuda"):
                cards[int(device.partition(":")[2] or 0)] = None
            if pid in self._known:
                meters.append(self._process(rank, device, self._known[pid]))
        meters += [meter for card in cards if (meter := self._card(card)) is not None]
        memory = psutil.virtual_memory()
        busy = psutil.cpu_percent(interval=None) / 100
        meters.append(Meter(host, busy, int(memory.total - memory.available), int(memory.total), "this machine"))
        return tuple(meters)

    def _living(self, pids: Any) -> list[int]:
        return [pid for pid in pids if pid in self._known or psutil.pid_exists(pid)]

    def _process(self, rank: int, device: str, process: psutil.Process) -> Meter:
        busy, used = None, 0
        with contextlib.suppress(psutil.Error), process.oneshot():  # it may end meanwhile
            busy = process.cpu_percent(interval=None) / 100
            used = process.memory_info().rss
        return Meter(f"rank {rank}", busy, used, 0, device)

    def _card(self, number: int) -> Meter | None:
        nvml = self._driver()
        if nvml is None:
            return None
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            name = nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError:
            return None  # the card fell off the bus, or does not tell
        return Meter(f"cuda:{number}", busy, int(memory.used), int(memory.total), str(name))

    def _driver(self) -> Any:
        if not self._tried:
            self._tried = True
            try:
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
            except ImportError:
                self._nvml = None
            except pynvml.NVMLError:
                self._nvml = None  # no driver, no card
        return self._nvml
