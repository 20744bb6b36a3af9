"""Where a run is computed: processes and devices of this machine, several machines, or a cluster."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from mseg_studio.training.devices import Device
from mseg_studio.ui.widgets import Heading, SegmentedButtons
from mseg_studio.ui.workspaces.train.form_editors import CountCombo
from mseg_studio.ui.workspaces.train.form_values import Draft

LOCAL, SLURM = "local", "slurm"
_FULL_LOAD = 5 * 713 * 713
"""Crop pixels that the published runs put on one GPU: five crops of 713."""


@dataclass(frozen=True, slots=True)
class Where:
    """The choice."""

    engine: str = LOCAL
    processes: int = 1
    """On this machine, or on each of the machines."""
    nnodes: int = 1
    rendezvous: str = ""
    devices: tuple[str, ...] = ()
    """Numbers of the GPUs; empty for all, and on the CPU."""

    @property
    def world(self) -> int:
        """All processes."""
        return self.processes * self.nnodes


class WhereBox(QWidget):
    """Shows the devices of this machine and what to use of them."""

    changed = Signal()
    accumulate_asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.devices: tuple[Device, ...] = ()
        self.gpus: list[QCheckBox] = []
        self.engine = SegmentedButtons(
            ((LOCAL, "This machine", "Start it here"), (SLURM, "Slurm", "Hand it to a cluster's scheduler"))
        )
        self.engine.set_current(LOCAL)
        self.engine.chosen.connect(lambda _key: self._on_change())
        self.found = QLabel("Looking for devices…")
        self.found.setObjectName("small")
        self.found.setWordWrap(True)
        self.processes = CountCombo(1, "Processes")
        self.processes.setToolTip("Processes that share every step; with GPUs one each")
        self.machines = CountCombo(64, "Machines")
        self.machines.setToolTip("Machines that take part: the line below is then for each of them to run")
        self.rendezvous = QLineEdit(f"{socket.gethostname()}:29500")
        self.rendezvous.setAccessibleName("Host and port of machine 0")
        self.rendezvous.setToolTip("host:port of machine 0, which the others find it by")
        self.hint = QLabel()
        self.hint.setObjectName("small")
        self.hint.setWordWrap(True)
        self.suggest = QPushButton()
        self.suggest.setObjectName("link")
        self._suggested = 1
        self.suggest.clicked.connect(lambda: self.accumulate_asked.emit(self._suggested))
        self.suggest.hide()
        for spin in (self.processes, self.machines):
            spin.value_changed.connect(lambda _value: self._on_change())
        self.rendezvous.textEdited.connect(lambda _text: self._on_change())
        self._lay_out()

    def _lay_out(self) -> None:
        self._local = QWidget()
        inside = QVBoxLayout(self._local)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.found)
        self._boxes = QVBoxLayout()
        self._boxes.setSpacing(4)
        inside.addLayout(self._boxes)
        row = QHBoxLayout()
        row.setSpacing(6)
        for text, spin in (("Processes", self.processes), ("Machines", self.machines)):
            label = QLabel(text)
            label.setBuddy(spin)
            row.addWidget(label)
            row.addWidget(spin)
        row.addStretch(1)
        inside.addLayout(row)
        inside.addWidget(self.rendezvous)
        self.rendezvous.hide()
        head = QHBoxLayout()
        head.addWidget(Heading("Where it runs"), 1)
        head.addWidget(self.engine)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(self._local)
        column.addWidget(self.hint)
        column.addWidget(self.suggest)

    @property
    def where(self) -> Where:
        """The choice as it stands."""
        if self.engine.button(SLURM).isChecked():
            return Where(SLURM)
        chosen = tuple(one.number for one, box in zip(self.devices, self.gpus, strict=False) if box.isChecked())
        several = self.machines.value() > 1
        return Where(
            LOCAL,
            self.processes.value(),
            self.machines.value(),
            self.rendezvous.text().strip() if several else "",
            chosen if len(chosen) < len(self.gpus) else (),
        )

    @property
    def on_gpus(self) -> bool:
        """Whether this machine has GPUs to compute on."""
        return bool(self.gpus)

    def offer(self, devices: Sequence[Device]) -> None:
        """What this machine has; one process a GPU, two on the cores of a CPU."""
        self.devices = tuple(devices)
        self.gpus = [self._gpu(one) for one in devices if one.kind == "cuda"]
        if self.gpus:
            self.found.hide()
            self.processes.set_most(len(self.gpus))
            self.use(len(self.gpus))
        else:
            count = max(1, len(devices))
            self.found.setText(f"No GPU was found: {count} CPU {'core' if count == 1 else 'cores'}, shared evenly")
            self.processes.set_most(count)
            self.use(min(2, count))
        self._on_change()

    def use(self, processes: int, *, engine: str = LOCAL) -> None:
        """Choose so many processes, or what comes nearest."""
        self.engine.set_current(engine)
        self.processes.set_value(processes)
        self._on_change()

    def show_hints(self, draft: Draft, world: int) -> None:
        """What the number of processes means for this run."""
        words, suggested = hints(draft, world)
        self.hint.setText(words)
        self._suggested = suggested
        self.suggest.setText(f"Compute a step in {suggested} parts (accumulate {suggested})")
        self.suggest.setVisible(suggested > 1)

    def _gpu(self, device: Device) -> QCheckBox:
        memory, free = (device.memory_bytes or 0) / 1e9, (device.free_bytes or 0) / 1e9
        box = QCheckBox(f"{device.number}  {device.name}, {free:.0f} of {memory:.0f} GB free")
        box.setChecked(True)
        box.toggled.connect(lambda _on: self._on_gpus())
        self._boxes.addWidget(box)
        return box

    def _on_gpus(self) -> None:
        count = sum(box.isChecked() for box in self.gpus)
        self.processes.set_most(max(1, count))
        self.processes.set_value(max(1, count))
        self._on_change()

    def _on_change(self) -> None:
        self._local.setVisible(not self.engine.button(SLURM).isChecked())
        self.rendezvous.setVisible(self.machines.value() > 1)
        self.changed.emit()


def hints(draft: Draft, world: int) -> tuple[str, int]:
    """What so many processes mean for a run, in words, and the accumulation to use instead (1: as it is)."""
    batch, parts, crop = (draft.value(path) for path in ("batch", "accumulate", "augment.crop_px"))
    if not all(isinstance(value, int) and value >= 1 for value in (batch, parts, crop)):
        return "", 1
    share = -(-batch // (world * parts))
    crops = "1 crop" if share == 1 else f"{share} crops"
    seen = min(batch, share * world)
    who = "One process computes" if world == 1 else f"Each of {world} processes computes"
    words = f"{who} {crops} at a time; batch norm sees {seen} of the {batch} crops of a step."
    if share * crop * crop <= 1.5 * _FULL_LOAD:
        return words, 1
    most = max(1, _FULL_LOAD // (crop * crop))
    wanted = -(-batch // (world * most))
    words += f" The published runs put {_FULL_LOAD // (713 * 713)} crops of 713 px on a GPU; this is more."
    return words, wanted if wanted > parts else 1


def refusal(draft: Draft, world: int) -> str:
    """Why so many processes cannot share a step; empty when they can."""
    batch, parts = draft.value("batch"), draft.value("accumulate")
    if isinstance(batch, int) and isinstance(parts, int) and 0 < batch < world * parts:
        shares = f"{world} processes" if parts == 1 else f"{world} processes with {parts} parts each"
        return f"{shares} cannot share a batch of {batch}: take fewer processes or a larger batch"
    return ""
