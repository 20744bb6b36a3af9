"""The window's side of the inference process. Torch-free; every call returns at once."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mseg_studio.errors import MSegStudioError
from mseg_studio.inference.events import (
    ComparisonReady,
    EngineReady,
    InferenceDied,
    InferenceEvent,
    InferenceFailed,
    LabelsReady,
    ProbeReady,
    RequestCancelled,
    SegmentProgress,
)
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels import readout as readouts
from mseg_studio.labels.comparison import Comparison, Pair
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import PLAIN, Readout
from mseg_studio.media.frame import Frame
from mseg_studio.progress import Progress
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.workers.client import WorkerClient
from mseg_studio.workers.outcome import Death, Failure, Reply

_MODULE = "mseg_studio.inference.worker"
_SCORES_GONE = "ScoresGoneError"


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """What a frame was or is to be segmented with."""

    request_id: int
    frame: Frame
    model: str
    recipe: Recipe
    target: str
    readout: Readout


@dataclass(frozen=True, slots=True)
class _Switch:
    """A frame whose scores are to be read in another way."""

    target: str
    readout: Readout
    of: int


class InferenceClient:
    """Segments frames in a child process; what happens arrives as events in the client's own thread.

    Every `segment` and `project` ends in exactly one LabelsReady, every `compare` in one ComparisonReady, or else in
    one InferenceFailed or RequestCancelled; all carry the generation that was returned, and generations increase. A
    new `segment` overtakes the one before.
    """

    def __init__(self, on_event: Callable[[InferenceEvent], None], *, threads: int = 0) -> None:
        """`on_event` is called in the client's thread and must be short.

        `threads` 0 means `openmp.threads_beside_a_window`.
        """
        self._on_event = on_event
        self._worker = WorkerClient(
            _MODULE,
            on_reply=self._on_reply,
            on_failed=self._on_failed,
            on_died=self._on_died,
            on_ready=self._on_ready,
            name="inference",
            arguments={"threads": threads},
        )
        self._lock = threading.RLock()
        self._runs: dict[int, _Run] = {}
        self._switches: dict[int, _Switch] = {}
        self._probes: set[int] = set()
        self._comparisons: set[int] = set()
        self._renamed: dict[int, int] = {}
        """Request id of a repeated run to the generation it answers."""
        self._done: _Run | None = None
        """The run whose scores the process keeps."""
        self._started_s = time.monotonic()

    def start(self) -> None:
        """Start the process in the background."""
        self._started_s = time.monotonic()
        self._worker.start()

    def segment(self, frame: Frame, *, model: str, recipe: Recipe, target: str, readout: Readout = PLAIN) -> int:
        """Segment `frame` and give its labels in taxonomy `target`, read as `readout` says.

        Returns the generation of the answer.
        """
        with self._lock:
            return self._submit_run(frame, model, recipe, target, readout)

    def project(self, target: str, *, readout: Readout = PLAIN) -> int:
        """The newest frame in another taxonomy or readout, without a run of the network. Returns the generation.

        While a frame is being segmented this means that frame. Should the process have lost the scores meanwhile, the
        frame is segmented again; before any `segment` the answer is InferenceFailed.
        """
        with self._lock:
            of = self._newest
            fields = {"target": target, "readout": readout.as_dict(), "of": of}
            request_id = self._worker.submit("project", fields, lane="project", overtake=True, priority=1)
            self._switches[request_id] = _Switch(target, readout, of)
            return request_id

    def probe(self, x: int, y: int, *, target: str | None = None) -> int:
        """Ask for the probabilities at pixel (x, y) of the last segmented frame; newest wins.

        `target` is the output taxonomy of the answer, by default the one last asked for. Answered by ProbeReady, or not
        at all when there is nothing to answer from.
        """
        with self._lock:
            done = self._done
            fields = {
                "x": x,
                "y": y,
                "target": target or (done.target if done else ""),
                "of": done.request_id if done else 0,
            }
            request_id = self._worker.submit("probe", fields, lane="probe", priority=2)
            self._probes.add(request_id)
            return request_id

    def compare(self, target: str, *, only: tuple[int, ...] = ()) -> int:
        """The newest frame's labels in `target`, projected and mapped, side by side. Returns the generation.

        `only` are the classes that take part. Never a run of the network: where the scores are lost the answer is
        InferenceFailed with the code ScoresGoneError. Newest wins.
        """
        with self._lock:
            fields = {"target": target, "only": list(only), "of": self._newest}
            request_id = self._worker.submit("compare", fields, lane="compare", priority=1)
            self._comparisons.add(request_id)
            return request_id

    def cancel(self) -> None:
        """Stop what runs and forget what waits: RequestCancelled comes at once for each."""
        self._worker.cancel()

    def release_device(self) -> None:
        """Have the process give the device's memory back; the scores of the current frame go with it."""
        self._worker.submit("release_device", lane="release_device", priority=3)

    def forgive(self, path: str) -> None:
        """Try a file again that the process died of three times."""
        self._worker.forgive(path)

    @property
    def pid(self) -> int | None:
        """Process id, None while there is none."""
        return self._worker.pid

    def close(self) -> None:
        """End the process and the client's thread; nothing is told any more."""
        self._worker.close()

    @property
    def _newest(self) -> int:
        """The run whose frame is meant by who does not say which; 0 before the first."""
        return max(self._runs, default=self._done.request_id if self._done else 0)

    def _submit_run(self, frame: Frame, model: str, recipe: Recipe, target: str, readout: Readout) -> int:
        key = "" if frame.ref is None else f"{frame.ref.path}#{frame.ref.index}"
        request_id = self._worker.submit(
            "segment",
            {"model": model, "recipe": recipe.as_dict(), "target": target, "readout": readout.as_dict()},
            arrays={"pixels": frame.pixels_HW3},
            lane="segment",
            overtake=True,
            input_key=key,
        )
        self._runs[request_id] = _Run(request_id, frame, model, recipe, target, readout)
        return request_id

    # -- in the worker client's thread ---------------------------------------------------------------------------

    def _on_ready(self, fields: Mapping[str, Any]) -> None:
        seconds = time.monotonic() - self._started_s
        self._on_event(EngineReady(str(fields["device"]), str(fields["label"]), seconds))

    def _on_reply(self, reply: Reply) -> None:
        fields = reply.fields
        if reply.type == "progress":
            with self._lock:
                is_run = reply.request_id in self._runs
                generation = self._renamed.get(reply.request_id, reply.request_id)
            if is_run:
                self._on_event(SegmentProgress(generation, _progress(fields)))
        elif reply.type == "engine":
            self._on_event(EngineReady(str(fields["device"]), str(fields["label"]), 0.0))
        elif reply.final:
            self._on_result(reply)

    def _on_result(self, reply: Reply) -> None:
        with self._lock:
            run = self._runs.pop(reply.request_id, None)
            switch = self._switches.pop(reply.request_id, None)
            probed = reply.request_id in self._probes
            self._probes.discard(reply.request_id)
            compared = reply.request_id in self._comparisons
            self._comparisons.discard(reply.request_id)
            generation = self._renamed.pop(reply.request_id, reply.request_id)
            if run is not None:
                self._done = run
            elif switch is not None and self._done is not None and self._done.request_id == switch.of:
                self._done = dataclasses.replace(self._done, target=switch.target, readout=switch.readout)
        if run is not None or switch is not None:
            self._on_event(_understood(generation, reply, _labels))
        elif compared:
            self._on_event(_understood(generation, reply, _comparison))
        elif probed:
            self._on_event(_probe(generation, reply.fields))

    def _on_failed(self, failure: Failure) -> None:
        with self._lock:
            if failure.request_id in self._probes:
                self._probes.discard(failure.request_id)
                return
            run = self._runs.pop(failure.request_id, None)
            switch = self._switches.pop(failure.request_id, None)
            generation = self._renamed.pop(failure.request_id, failure.request_id)
            if run is None and switch is None and failure.request_id not in self._comparisons:
                return
            self._comparisons.discard(failure.request_id)
            if switch is not None and failure.code == _SCORES_GONE and self._run_again(switch, generation):
                return
        if failure.code == "Cancelled":
            self._on_event(RequestCancelled(generation))
        else:
            self._on_event(InferenceFailed(generation, failure.code, failure.message, failure.file))

    def _run_again(self, switch: _Switch, generation: int) -> bool:
        """Segment the frame of `switch` once more: its scores were lost with an earlier process or a cancelled run."""
        done = self._done
        if done is None or done.request_id != switch.of or self._runs:
            return False
        request_id = self._submit_run(done.frame, done.model, done.recipe, switch.target, switch.readout)
        self._renamed[request_id] = generation
        return True

    def _on_died(self, death: Death) -> None:
        self._started_s = time.monotonic() + (death.restart_in_s or 0.0)
        if not death.deliberate:
            self._on_event(InferenceDied(death.message, death.restart_in_s or 0.0))


def _progress(fields: Mapping[str, Any]) -> Progress:
    return Progress(int(fields["done"]), int(fields["total"]), str(fields["what"]), fields["seconds_left"])


def _understood(
    generation: int, reply: Reply, read: Callable[[int, Reply], LabelsReady | ComparisonReady]
) -> InferenceEvent:
    """The event of an answer; a table that changed on disk while it was on its way makes it a failure."""
    try:
        return read(generation, reply)
    except (MSegStudioError, ValueError) as error:
        text = f"the taxonomy changed while the answer was on its way: {error}"
        return InferenceFailed(generation, "TaxonomyError", text, "")


def _labels(generation: int, reply: Reply) -> LabelsReady:
    fields = reply.fields
    taxonomy = default_catalog().taxonomy(str(fields["taxonomy"]))
    return LabelsReady(
        generation=generation,
        labels=LabelMap(reply.arrays["ids"], taxonomy),
        model=str(fields["model"]),
        sidecar=dict(fields["sidecar"]),
        seconds=float(fields["seconds"]),
        network_ran=bool(fields["network_ran"]),
        readout=readouts.from_dict(fields["readout"]),
        measure_HW=reply.arrays.get("measure"),
    )


def _comparison(generation: int, reply: Reply) -> ComparisonReady:
    fields, arrays, catalog = reply.fields, reply.arrays, default_catalog()
    source, target = catalog.taxonomy(str(fields["source"])), catalog.taxonomy(str(fields["target"]))
    counts = [(source.get(int(class_id)), int(pixels)) for class_id, pixels in fields["own_counts"]]
    comparison = Comparison(
        LabelMap(arrays["projected"], target),
        LabelMap(arrays["mapped"], target, "hard"),
        arrays["no_target"],
        float(fields["no_target_share"]),
        source,
        tuple((info, pixels) for info, pixels in counts if info is not None),
        tuple(Pair(int(projected), int(mapped), int(pixels)) for projected, mapped, pixels in fields["pairs"]),
    )
    return ComparisonReady(generation, comparison, float(fields["seconds"]))


def _probe(generation: int, fields: Mapping[str, Any]) -> ProbeReady:
    return ProbeReady(
        generation=generation,
        x=int(fields["x"]),
        y=int(fields["y"]),
        model_top=_top(fields["model_top"]),
        target_top=_top(fields["target_top"]),
        uncovered=float(fields["uncovered"]),
    )


def _top(entries: Any) -> tuple[tuple[int, str, float], ...]:
    return tuple((int(class_id), str(name), float(share)) for class_id, name, share in entries)
