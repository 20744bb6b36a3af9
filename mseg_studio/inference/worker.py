"""The inference process: owns model and device, gets pixels from the window and paths from nobody."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from mseg_studio.inference.openmp import let_others_first, threads_beside_a_window, wait_quietly
from mseg_studio.progress import Progress
from mseg_studio.workers.child import Answer, Request, WorkerLink

if TYPE_CHECKING:
    from mseg_studio.inference.session import Answered, Session
    from mseg_studio.labels.readout import Readout

_DEVICE_IS_DEAD = 4


def main(link: WorkerLink) -> None:
    """Entry point of the child. `link.arguments`: threads (0 means `threads_beside_a_window`)."""
    threads = int(link.arguments.get("threads", 0)) or threads_beside_a_window()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    wait_quietly()
    let_others_first()
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    from mseg_studio.inference.devices import device_words, resolve_device, resolve_precision
    from mseg_studio.inference.engine_choice import resolve_engine
    from mseg_studio.inference.session import Session
    from mseg_studio.inference.warm_up import warm_up

    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    label = " · ".join((device_words(device), resolve_engine("auto", device, precision), precision))
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    handlers = Handlers(Session(), (str(device), label))
    link.serve(
        {
            "segment": handlers.segment,
            "project": handlers.project,
            "probe": handlers.probe,
            "compare": handlers.compare,
            "release_device": handlers.release_device,
        },
        ready={"device": str(device), "label": label},
    )


class Handlers:
    """Requests of the wire to calls of the session."""

    def __init__(self, session: Session, told: tuple[str, str]) -> None:
        self._session = session
        self._told = told
        """Device and badge as the window knows them."""

    def segment(self, request: Request) -> Answer:
        """Pixels to labels; see `Session.segment`."""
        from mseg_studio.inference import recipe

        fields = request.fields
        try:
            answered = self._session.segment(
                request.arrays["pixels"],
                generation=request.request_id,
                model=str(fields["model"]),
                recipe=recipe.from_dict(dict(fields["recipe"])),
                target=str(fields["target"]),
                readout=_readout(request),
                on_progress=request.progress,
                cancel=request.cancel,
            )
        except RuntimeError as error:
            end_if_device_is_dead(error)
            raise
        now = (self._session.device, self._session.badge())
        if now != self._told:
            self._told = now
            request.tell("engine", {"device": now[0], "label": now[1]})
        return _answer(answered, network_ran=True)

    def project(self, request: Request) -> Answer:
        """The current frame in another taxonomy or readout; see `Session.project`."""
        fields = request.fields
        answered = self._session.project(str(fields["target"]), _readout(request), generation=int(fields["of"]))
        return _answer(answered, network_ran=False)

    def probe(self, request: Request) -> Answer:
        """Probabilities at a pixel; see `Session.probe`."""
        fields = request.fields
        x, y = int(fields["x"]), int(fields["y"])
        model_top, target_top, uncovered = self._session.probe(
            x, y, str(fields["target"]), generation=int(fields["of"])
        )
        return Answer(
            {
                "x": x,
                "y": y,
                "model_top": [list(entry) for entry in model_top],
                "target_top": [list(entry) for entry in target_top],
                "uncovered": uncovered,
            }
        )

    def compare(self, request: Request) -> Answer:
        """Projected against mapped labels, and what has no target; see `Session.compare`."""
        fields, started_s = request.fields, time.monotonic()
        found = self._session.compare(str(fields["target"]), _only(fields["only"]), generation=int(fields["of"]))
        return Answer(
            {
                "target": found.projected.taxonomy.name,
                "source": found.source.name,
                "no_target_share": found.no_target_share,
                "own_counts": [[info.id, pixels] for info, pixels in found.own_counts],
                "pairs": [[pair.projected, pair.mapped, pair.pixels] for pair in found.pairs],
                "seconds": time.monotonic() - started_s,
            },
            {"projected": found.projected.ids_HW, "mapped": found.mapped.ids_HW, "no_target": found.no_target_HW},
        )

    def release_device(self, request: Request) -> Answer:
        """Give the device's memory back; see `Session.release_device`."""
        request.progress(Progress(0, 1, "releasing the device"))
        self._session.release_device()
        return Answer()


def _readout(request: Request) -> Readout:
    from mseg_studio.labels.readout import from_dict

    return from_dict(request.fields["readout"])


def _only(ids: Any) -> tuple[int, ...]:
    from mseg_studio.labels.readout import Readout

    return Readout(tuple(ids)).only


def _answer(answered: Answered, *, network_ran: bool) -> Answer:
    fields: dict[str, Any] = {
        "taxonomy": answered.labels.taxonomy.name,
        "model": answered.model,
        "sidecar": answered.facts,
        "seconds": answered.seconds,
        "network_ran": network_ran,
        "readout": answered.readout.as_dict(),
    }
    arrays = {"ids": answered.labels.ids_HW}
    return Answer(fields, arrays if answered.measure_HW is None else arrays | {"measure": answered.measure_HW})


def end_if_device_is_dead(error: RuntimeError) -> None:
    """After an illegal access a CUDA context answers nothing any more: only a new process helps."""
    if "CUDA error" in str(error) and "out of memory" not in str(error):
        sys.stderr.write(f"the CUDA device failed: {str(error).splitlines()[0]}\n")
        sys.stderr.flush()
        os._exit(_DEVICE_IS_DEAD)
