"""Write labels as files: of the picture on screen at once, of a folder or a video through `mseg-studio segment`."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.labels import sidecar
from mseg_studio.labels.export import ExportRequest, exporters, write_outputs
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.overlay import OverlayStyle
from mseg_studio.labels.readout import MEASURES
from mseg_studio.labels.sidecar import SourceStamp
from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.child_command import ChildCommand
from mseg_studio.ui.widgets import Heading
from mseg_studio.ui.workspaces.segment.estimate import counted
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.session import Session

_DEFAULT = frozenset({"ids", "colour"})
_ORDER = ("ids", "colour", "overlay", "classes", "cityscapes-ids", *MEASURES)
_OF_ALL = {
    "scores": "Scores (HDF5): any taxonomy later, without the network",
    "video": "Overlay video (MP4)",
}
"""What `mseg-studio segment --save` can besides the exporters."""
_WEIGHT_OF_PAST = 0.6
"""Of the frames before, where a video is smoothed: half of a frame is forgotten in 1.4 frames."""
_COUNT_MS = 500


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), name


class ExportDialog(QDialog):
    """What, of which items, where."""

    def __init__(self, session: Session, parent: QWidget | None = None, *, opacity: float = 0.5) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self.setMinimumWidth(520)
        self._session, self._opacity = session, opacity
        self._child: ChildCommand | None = None
        self._summary: dict[str, Any] = {}
        self._boxes: dict[str, QCheckBox] = {}
        self._started_s = 0.0
        self._count = QTimer(self, interval=_COUNT_MS)
        self._count.timeout.connect(self._count_frames)
        self.one = QRadioButton("This frame" if self._is_video else "This image")
        self.all = QRadioButton(self._all_text())
        self.smooth = QCheckBox("Smooth over time")
        self.smooth.setToolTip(
            "Average every pixel's probabilities with those of the frames before: steadier where the camera moves "
            "slowly. Not for measuring how good a model is."
        )
        self.smooth.toggled.connect(lambda _on: self._refresh())
        self.folder = QLineEdit(str(self._default_folder()))
        self.folder.setAccessibleName("Folder to write into")
        self.bar = QProgressBar()
        self.bar.hide()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setObjectName("dim")
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self._buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.write = self._buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        self.write.setObjectName("primary")
        self._buttons.accepted.connect(self._start)
        self._buttons.rejected.connect(self.reject)
        self._lay_out()
        self.one.setChecked(True)
        self._refresh()

    # -- building ------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(8)
        group = QButtonGroup(self)
        if self._can_export_all:
            column.addWidget(Heading("Of"))
            for radio in (self.one, self.all):
                group.addButton(radio)
                column.addWidget(radio)
                radio.toggled.connect(lambda _on: self._refresh())
            column.addSpacing(8)
        column.addWidget(Heading("What"))
        for name, exporter in sorted(exporters().items(), key=lambda pair: _place(pair[0])):
            if name == "cityscapes-ids" and not self._has_cityscapes_classes():
                continue
            self._add_box(column, name, exporter.label)
        for name, label in _OF_ALL.items():
            if self._can_export_all and (name != "video" or self._is_video):
                self._add_box(column, name, label)
        for name in MEASURES:
            self._boxes[name].setToolTip("Written by a run of the network of its own")
        if self._is_video and self._can_export_all:
            column.addSpacing(4)
            column.addWidget(self.smooth)
        for text in (
            self._readout_words(),
            "A sidecar (JSON) with taxonomy, recipe and model is always written beside them.",
        ):
            if text:
                note = QLabel(text)
                note.setObjectName("small")
                note.setWordWrap(True)
                column.addWidget(note)
        column.addSpacing(8)
        column.addWidget(Heading("Into"))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.folder, 1)
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._browse)
        row.addWidget(browse)
        column.addLayout(row)
        column.addSpacing(6)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(self._buttons)
        self.folder.textChanged.connect(lambda _text: self._refresh())

    def _add_box(self, column: QVBoxLayout, name: str, label: str) -> None:
        box = QCheckBox(label)
        box.setChecked(name in _DEFAULT)
        box.toggled.connect(lambda _on: self._refresh())
        self._boxes[name] = box
        column.addWidget(box)

    # -- what is chosen ------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Outputs that are ticked and can be written of what is chosen."""
        return [name for name, box in self._boxes.items() if box.isChecked() and self._can_write(name)]

    def _can_write(self, name: str) -> bool:
        """Whether an output can be written of what is chosen: measures of one frame of a video cannot."""
        return self.all.isChecked() or not (name in _OF_ALL or (name in MEASURES and self._is_video))

    def _readout_words(self) -> str:
        """What makes these labels others than the plain ones."""
        choice, words = self._session.choice, []
        if choice.only:
            words.append(f"only {counted(len(choice.only), 'class')} take part")
        if choice.min_confidence:
            words.append(f"labels below {100 * choice.min_confidence:.0f} % confidence are unlabeled")
        return f"As on screen: {', '.join(words)}." if words else ""

    def tick(self, *names: str) -> None:
        """Tick exactly these outputs."""
        for name, box in self._boxes.items():
            box.setChecked(name in names)

    @property
    def _is_video(self) -> bool:
        source = self._session.source
        return source is not None and source.kind == "video"

    @property
    def _can_export_all(self) -> bool:
        source = self._session.source
        return source is not None and source.count > 1 and source.kind in ("folder", "video")

    def _all_text(self) -> str:
        source = self._session.source
        count = source.count if source is not None else 0
        return f"All {counted(count, 'frame' if self._is_video else 'image')}"

    def _default_folder(self) -> Path:
        source = self._session.source
        return Path(source.path).parent / "segmented" if source is not None else Path("segmented")

    def _has_cityscapes_classes(self) -> bool:
        from mseg_studio.labels.exporters.cityscapes_ids import LABEL_IDS

        result = self._session.result
        return result is not None and set(result.labels.taxonomy.names) <= set(LABEL_IDS)

    def _refresh(self) -> None:
        for name, box in self._boxes.items():
            box.setEnabled(self._can_write(name))
        self.smooth.setEnabled(self.all.isChecked())
        busy = self._child is not None
        self.write.setEnabled(bool(self.names()) and bool(self.folder.text().strip()) and not busy)

    def _browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Write into", self.folder.text())
        if path:
            self.folder.setText(path)

    # -- writing -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.all.isChecked() or set(self.names()) & set(MEASURES):
            self._start_command()
        else:
            self._write_one()

    def _write_one(self) -> None:
        session, names, folder = self._session, self.names(), Path(self.folder.text().strip())
        result, shown, index = session.result, session.shown, session.at
        if result is None or shown is None:
            return
        key = session.key_of(index)
        stem = f"{Path(key.path).stem}_{index:06d}" if self._is_video else Path(key.path).stem
        request = ExportRequest(result.labels, shown.frame, replace(OverlayStyle(), opacity=self._opacity))

        def work() -> list[Path]:
            known = sidecar.build(result.labels, result.sidecar, source=SourceStamp.of(key.path))
            return write_outputs(OutputPaths(folder / stem), names, request, known)

        self.write.setEnabled(False)
        self.message.setText("Writing…")
        in_background(self, work, lambda written: self._on_written(index, written), failed=self._on_failed)

    def _on_written(self, index: int, written: list[Path]) -> None:
        self._session.mark_exported(index)
        text = f"{counted(len(written), 'file')} written: {printable(str(written[0]))}"
        self._session.notice.emit(Notice(text, "info", "export"))
        self.accept()

    def _on_failed(self, error: MSegStudioError) -> None:
        self.message.setText(str(error))
        self._refresh()

    def arguments(self) -> list[str]:
        """The command line that exports what is chosen."""
        session, choice = self._session, self._session.choice
        changed = {
            "--engine": choice.engine if choice.engine != "auto" else "",
            "--precision": choice.precision if choice.precision != "auto" else "",
            "--only": ",".join(map(str, choice.only)),
            "--min-confidence": f"{choice.min_confidence:g}" if choice.min_confidence else "",
            "--smooth": f"{_WEIGHT_OF_PAST}" if self.smooth.isChecked() and self.smooth.isEnabled() else "",
        }
        return [
            "segment",
            *self._inputs(),
            *("--output", self.folder.text().strip()),
            *("--model", choice.model),
            *("--taxonomy", choice.target),
            *("--recipe", choice.recipe),
            *("--device", session.runs.device),
            *(word for option, value in changed.items() if value for word in (option, value)),
            *("--save", ",".join(self.names())),
            "--json",
        ]

    def _inputs(self) -> list[str]:
        """Paths of what is chosen."""
        source = self._session.source
        if source is None:
            return []
        if not self.all.isChecked():
            return [self._session.key_of(self._session.at).path]
        if source.kind == "folder" and not Path(source.path).is_dir():
            return list(source.items)
        return [source.path]

    def _start_command(self) -> None:
        self._child = ChildCommand(self.arguments(), self)
        self._child.told.connect(self._on_told)
        self._child.finished.connect(self._on_finished)
        source = self._session.source
        self._summary, self._started_s = {}, time.time()
        # A video is one item: how far it is shows in its folder of frames.
        known = source is not None and self.all.isChecked() and (not self._is_video or "ids" in self.names())
        self.bar.setRange(0, source.count if source is not None and known else 0)
        self.bar.setValue(0)
        self.bar.show()
        self.message.setText("Starting…")
        self._refresh()
        self._child.start()
        if self._is_video:
            self._count.start()

    def _on_told(self, line: dict[str, Any]) -> None:
        if "summary" in line:
            self._summary = line["summary"]
            return
        path = str(line.get("input", ""))
        if line.get("status") in ("done", "skipped"):
            self._session.mark_exported(path)
        if not self._is_video:
            self.bar.setValue(min(self.bar.maximum(), self.bar.value() + 1))
            self.message.setText(printable(f"{self.bar.value()} / {self.bar.maximum()}  {Path(path).name}"))

    def _count_frames(self) -> None:
        source = self._session.source
        if source is None:
            return
        folder = Path(self.folder.text().strip()) / Path(source.path).stem
        done = 0
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            done = sum(entry.name.endswith(".png") and entry.stat().st_mtime >= self._started_s for entry in entries)
        if done and self.bar.maximum():
            self.bar.setValue(min(done, self.bar.maximum()))
            self.message.setText(f"{self.bar.value()} / {self.bar.maximum()} frames")
        else:
            self.message.setText("Segmenting…")

    def _on_finished(self, good: bool, message: str) -> None:
        self._child = None
        self._count.stop()
        self.bar.hide()
        counts = ", ".join(f"{number} {word}" for word, number in self._summary.items() if number)
        if good:
            text = f"Exported into {printable(self.folder.text())}: {counts or 'done'}."
            self._session.notice.emit(Notice(text, "info", "export"))
            self.accept()
            return
        self.message.setText(f"{counts}. {message}" if counts else message)
        self._refresh()

    def reject(self) -> None:
        """Stop what is being written, then close; files that are complete stay."""
        if self._child is not None and not self._child.stopping:
            self._child.stop()
            self.message.setText("Stopping…")
            return
        if self._child is not None:
            self._child.end()
        self._count.stop()
        super().reject()
