"""What is done with runs: stop, continue, delete, use. Everything that may wait runs in the background."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from mseg_studio.training import launcher, slurm
from mseg_studio.training.run_processes import read_json
from mseg_studio.training.runs import delete_run, register
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.child_command import ChildCommand
from mseg_studio.ui.workspaces.train.run_reader import RunLook


class RunActions(QObject):
    """One thing a run at a time."""

    changed = Signal()
    """Something was begun or done: look again."""
    failed = Signal(str)
    told = Signal(str)
    installed = Signal(str)
    """A model of this name is now in the list of models."""

    def __init__(self, parent: QObject, *, free_device: Callable[[], None]) -> None:
        """`free_device` asks the inference process to give back the GPU: called before a run goes on."""
        super().__init__(parent)
        self._free_device = free_device
        self._busy: set[Path] = set()
        self._child: ChildCommand | None = None

    def is_busy(self, folder: Path | None) -> bool:
        """Whether something is being done with this run."""
        return folder in self._busy

    def stop(self, folder: Path, *, save: bool) -> None:
        """Ask a run to stop; with `save` it saves first."""
        self._do(folder, lambda: launcher.stop(folder, kill=not save))

    def resume(self, folder: Path, launch: Mapping[str, Any]) -> None:
        """Go on from the newest checkpoint, with as many processes as before; on a cluster as a new job."""

        def work() -> None:
            words = read_json(folder / "slurm.json").get("words")
            if launch.get("engine") == "slurm":
                slurm.submit(folder, slurm.SlurmOptions.parse(list(map(str, words or ()))), name=folder.name)
            else:
                launcher.resume(folder, plan_of(folder, launch))

        self._free_device()
        self._do(folder, work)

    def delete(self, folder: Path) -> None:
        """Delete a run that has ended."""
        self._do(folder, lambda: delete_run(folder))

    def open(self, folder: Path) -> None:
        """Remember a run that lies elsewhere."""
        self._do(folder, lambda: register(folder))

    def use(self, folder: Path) -> None:
        """Put the run's best weights into the user's models, in a child: it needs torch."""
        if self._child is not None:
            return
        child = ChildCommand(["runs", "use", str(folder), "--json"], self)
        names: list[str] = []
        child.told.connect(lambda value: names.append(str(value.get("model") or value.get("name") or "")))
        child.finished.connect(lambda good, message: self._on_used(folder, names, good, message))
        self._busy.add(folder)
        self._child = child
        self.changed.emit()
        child.start()

    def close(self) -> None:
        """End the child: the window closes. Runs are left as they are."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _on_used(self, folder: Path, names: list[str], good: bool, message: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.deleteLater()
        self._busy.discard(folder)
        if good:
            name = next(filter(None, reversed(names)), folder.name)
            self.installed.emit(name)
            self.told.emit(f"{name} is in the list of models and chosen in Segment.")
        else:
            self.failed.emit(message)
        self.changed.emit()

    def _do(self, folder: Path, work: Callable[[], None]) -> None:
        if folder in self._busy:
            return
        self._busy.add(folder)
        self.changed.emit()
        in_background(
            self, work, lambda _none: self._done(folder, ""), failed=lambda error: self._done(folder, str(error))
        )

    def _done(self, folder: Path, problem: str) -> None:
        self._busy.discard(folder)
        if problem:
            self.failed.emit(problem)
        self.changed.emit()


def plan_of(folder: Path, launch: Mapping[str, Any]) -> launcher.LaunchPlan:
    """As many processes on this machine as launch.json says; one where it says nothing. Raises ConfigError."""
    nodes = max(1, _whole(launch.get("nnodes"), 1))
    processes = max(1, _whole(launch.get("world_size"), 1) // nodes)
    devices = launch.get("devices")
    return launcher.LaunchPlan(
        folder,
        processes,
        nodes,
        _whole(launch.get("node_rank"), 0),
        str(launch.get("rendezvous") or ""),
        tuple(map(str, devices)) if isinstance(devices, list) else (),
    )


def command_line(look: RunLook) -> str:
    """The exact command of a run, for a terminal. Raises ConfigError."""
    if look.launch.get("engine") == "slurm":
        return shlex.join(map(str, look.launch.get("argv", ())))
    return shlex.join(plan_of(look.folder, look.launch).argv())


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
