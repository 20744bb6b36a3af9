"""The right panel's facts: the run's configuration against its recipe, and how busy its devices are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from mseg_studio.errors import printable
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel, Heading
from mseg_studio.ui.workspaces.train.meters import Meter
from mseg_studio.ui.workspaces.train.preset import Preset, text_of
from mseg_studio.ui.workspaces.train.words import gigabytes, grouped


class Section(QWidget):
    """A heading and what stands under it."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = Heading(title)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(12, 10, 12, 8)
        self.column.setSpacing(5)
        self.column.addWidget(self.heading)


class ConfigPanel(Section):
    """What makes the run what it is; settings that are not the recipe's stand out."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Configuration")
        self._theme = theme
        self._rows: list[QLabel] = []
        self._used = 0
        self._shown: tuple[object, ...] = ()
        theme.changed.connect(lambda: self._fill(*self._shown) if self._shown else None)

    def show_config(self, values: Mapping[str, Any] | None, preset: Preset | None, problem: str) -> None:
        """Show these; why there is no configuration in its place."""
        shown = (values, preset, problem)
        if len(self._shown) == 3 and all(a is b for a, b in zip(shown, self._shown, strict=True)):
            return
        self._shown = shown
        self._fill(values, preset, problem)

    def texts(self) -> list[str]:
        """What is shown, line by line."""
        return [row.property("plain") for row in self._rows[: self._used]]

    def _fill(self, values: Any, preset: Any, problem: Any) -> None:
        self._used = 0
        if values is None:
            self._add("", problem or "nothing yet", "")
        else:
            self._add_all(values, preset)
        for row in self._rows[self._used :]:
            row.hide()

    def _add_all(self, values: Mapping[str, Any], preset: Preset | None) -> None:
        changes = preset.changes if preset is not None else ()
        if preset is not None:
            count = f"{len(changes)} change{'s' if len(changes) != 1 else ''}" if changes else "unchanged"
            self._add("preset", preset.name or "own", count)
        keys = {change.key for change in changes}
        self._add("network", values.get("network"), "")
        self._add("start", Path(str(values.get("start", ""))).name, "")
        self._add(
            "datasets",
            ", ".join(str(one.get("name", "")) for one in values.get("datasets", ()) if isinstance(one, dict)),
            "",
        )
        self._add("taxonomy", values.get("taxonomy"), f"head {values.get('head', '')}".strip())
        facts = {
            "augment.crop_px": ("crop", text_of(_inner(values, "augment", "crop_px"))),
            "batch": ("global batch", text_of(values.get("batch"))),
            "optim.lr": ("lr", f"{text_of(_inner(values, 'optim', 'lr'))} → {_inner(values, 'optim', 'schedule')}"),
            "steps": ("steps", grouped(values["steps"]) if isinstance(values.get("steps"), int) else "–"),
        }
        for key, (name, words) in facts.items():
            if key not in keys:  # else it stands below, with what the recipe says
                self._add(name, words, "")
        for change in changes:
            self._add(change.key, text_of(change.value), f"(preset {text_of(change.preset)})", changed=True)

    def _add(self, key: str, value: Any, note: str, *, changed: bool = False) -> None:
        tones = self._theme.tones
        ink = tones.warn if changed else tones.text
        key_ink = tones.warn if changed else tones.dim
        words = printable(str("–" if value is None else value))
        if self._used == len(self._rows):
            # Lines are kept and filled anew: to make them anew would flicker.
            self._rows.append(QLabel())
            self._rows[-1].setTextFormat(Qt.TextFormat.RichText)
            self._rows[-1].setWordWrap(True)
            self.column.addWidget(self._rows[-1])
        row = self._rows[self._used]
        self._used += 1
        row.show()
        row.setText(
            f"<span style='color:{key_ink}'>{_safe(key)}</span> <span style='color:{ink}'>{_safe(words)}</span>"
            f" <span style='color:{key_ink if changed else tones.dim}'>{_safe(printable(note))}</span>"
        )
        row.setProperty("plain", " ".join(part for part in (key, words, note) if part))
        row.setAccessibleName(row.property("plain"))


class DevicesPanel(Section):
    """A line for every process of the run, its cards, and the host."""

    def __init__(self) -> None:
        super().__init__("Devices")
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(5)
        self._grid.setColumnStretch(1, 1)
        self.column.addLayout(self._grid)
        self._lines: list[tuple[QLabel, ElidedLabel, QProgressBar]] = []

    def show_meters(self, meters: Sequence[Meter]) -> None:
        """Show the newest values."""
        while len(self._lines) < len(meters):
            self._add()
        for place, (name, words, bar) in enumerate(self._lines):
            there = place < len(meters)
            for widget in (name, words, bar):
                widget.setVisible(there)
            if not there:
                continue
            meter = meters[place]
            name.setText(meter.name)
            name.setToolTip(meter.note)
            memory = gigabytes(meter.used_bytes)
            if meter.total_bytes:
                memory = f"{meter.used_bytes / 1e9:.1f} / {gigabytes(meter.total_bytes)}"
            busy = "" if meter.busy is None else f"{100 * meter.busy:.0f} % · "
            words.setText(f"{busy}{memory}")
            bar.setVisible(bool(meter.total_bytes))
            bar.setValue(round(1000 * meter.used_bytes / meter.total_bytes) if meter.total_bytes else 0)
            bar.setAccessibleName(f"Memory of {meter.name}")

    def texts(self) -> list[str]:
        """What is shown, line by line."""
        return [f"{name.text()} {words.text()}" for name, words, _bar in self._lines if not name.isHidden()]

    def _add(self) -> None:
        row = 2 * len(self._lines)
        name, words, bar = QLabel(), ElidedLabel(), QProgressBar()
        words.setObjectName("small")
        words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        bar.setTextVisible(False)
        bar.setRange(0, 1000)
        bar.setFixedHeight(4)
        self._grid.addWidget(name, row, 0)
        self._grid.addWidget(words, row, 1)
        self._grid.addWidget(bar, row + 1, 0, 1, 2)
        self._lines.append((name, words, bar))


def _inner(values: Mapping[str, Any], part: str, key: str) -> Any:
    inner = values.get(part)
    return inner.get(key) if isinstance(inner, dict) else None


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
