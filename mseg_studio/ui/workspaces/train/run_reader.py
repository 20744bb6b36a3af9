"""One look at a run's folder, for the window: state, numbers, configuration, logs, meters. No Qt, no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mseg_studio.errors import ConfigError, MSegStudioError
from mseg_studio.plain_yaml import read_yaml
from mseg_studio.training.metrics_curves import Curve, smoothed
from mseg_studio.training.metrics_table import Metrics, MetricsTable
from mseg_studio.training.run_processes import read_json
from mseg_studio.training.run_state import RunState, read_state
from mseg_studio.ui.workspaces.train.fixed_samples import FixedSample, read_samples
from mseg_studio.ui.workspaces.train.log_tail import LogLine, LogTail
from mseg_studio.ui.workspaces.train.meters import Meter, Meters
from mseg_studio.ui.workspaces.train.preset import Preset, preset_of

_LONG = 50_000
_LONG_EVERY_S = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class RunLook:
    """What a run's folder held at one moment. Parts that are the same object as before have not changed."""

    folder: Path
    state: RunState
    metrics: Metrics
    curves: Mapping[str, Curve]
    """Columns ready to be drawn, by name: those of the metrics, `smooth` for the loss, wait in %, memory in GB."""
    config: Mapping[str, Any] | None = None
    """Plain values, as in config.yaml."""
    config_problem: str = ""
    """Why there is no configuration."""
    preset: Preset | None = None
    """The recipe that comes nearest to the configuration, and what differs."""
    launch: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()
    log_sources: tuple[str, ...] = ()
    samples: tuple[FixedSample, ...] = ()
    meters: tuple[Meter, ...] = ()
    has_checkpoint: bool = False
    """Whether there are weights to go on from or to use."""

    @property
    def name(self) -> str:
        """What the run is called: its folder's name."""
        return self.folder.name


class RunReader:
    """Looks at one run again and again. Belongs to one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._table = MetricsTable(folder / "metrics.jsonl")
        self._tail = LogTail(folder / "log")
        self._meters = Meters()
        self._metrics = Metrics()
        self._weight = -1.0
        self._curves: dict[str, Curve] = {}
        self._fresh, self._drawn_s = False, 0.0
        self._config_at = 0.0
        self._config: Mapping[str, Any] | None = None
        self._problem = ""
        self._preset: Preset | None = None
        self._recipe: str | None = None
        """Recipe of a configuration that was not compared with it yet."""
        self._samples: tuple[FixedSample, ...] = ()

    def look(self, *, weight: float, whole: bool) -> RunLook:
        """`weight` smooths the loss; `whole`: also logs, samples and meters, which only the chosen run shows."""
        self._fresh |= self._table.poll()
        now_s = time.monotonic()
        # The curves of a long run take a while to prepare and hardly change from one look to the next.
        changed = self._fresh and (len(self._metrics.step) < _LONG or now_s - self._drawn_s > _LONG_EVERY_S)
        if changed:
            self._fresh, self._drawn_s = False, now_s
            self._metrics = self._table.metrics()
            self._curves = curves_of(self._metrics)
        if changed or weight != self._weight:
            self._weight = weight
            self._curves = self._curves | {"smooth": smooth_curve(self._metrics, weight)}
        self._read_config()
        log, meters = (self._tail.poll(), self._meters.read(self.folder)) if whole else ((), ())
        if whole:
            samples = read_samples(self.folder)
            self._samples = self._samples if samples == self._samples else samples
        return RunLook(
            self.folder,
            read_state(self.folder),
            self._metrics,
            self._curves,
            self._config,
            self._problem,
            self._preset,
            read_json(self.folder / "launch.json"),
            log,
            self._tail.sources,
            self._samples,
            meters,
            any((self.folder / "checkpoints").glob("*/*")),
        )

    def _read_config(self) -> None:
        path = self.folder / "config.yaml"
        try:
            changed_at = path.stat().st_mtime
        except OSError as error:
            self._config, self._problem = None, f"{path}: {error.strerror or error}"
            return
        if changed_at == self._config_at:
            if self._recipe is not None and self._config is not None:
                # Not at the first look: to read all recipes takes longer than all the rest.
                self._preset, self._recipe = preset_of(self._config, recipe=self._recipe), None
            return
        self._config_at = changed_at
        try:
            values = read_yaml(path)
            recipe = str(read_json(self.folder / "origin.json").get("recipe") or "")
            if not isinstance(values, dict):
                raise ConfigError("expected `key: value` lines", path=path)
            self._config, self._problem, self._recipe = values, "", recipe
        except MSegStudioError as error:
            self._config, self._problem, self._preset = None, str(error), None


def curves_of(metrics: Metrics) -> dict[str, Curve]:
    """Every column but the time, ready to be drawn; the wait in %, the memory in GB."""
    scales = {"data_wait": 100.0, "memory_bytes": 1e-9}
    return {
        name: Curve.of(metrics.step, column, scale=scales.get(name, 1.0))
        for name, column in metrics.columns.items()
        if name != "time"
    }


def smooth_curve(metrics: Metrics, weight: float) -> Curve:
    """The loss, smoothed."""
    return Curve.of(metrics.step, smoothed(metrics.column("loss"), weight=weight))
