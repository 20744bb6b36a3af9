"""One process of a fleet: segments frames on one device as `segment_frame` does, and sends back what the job keeps."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from mseg_studio.inference.openmp import wait_quietly
from mseg_studio.workers.child import Answer, Request, WorkerLink

if TYPE_CHECKING:
    from mseg_studio.inference.loaded_model import LoadedModel
    from mseg_studio.inference.predictor import Predictor


def main(link: WorkerLink) -> None:
    """Entry point of the child. `link.arguments`: threads, model (its name) and recipe (its dict, with the device)."""
    threads = int(link.arguments["threads"])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    wait_quietly()
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    from mseg_studio.inference.warm_up import warm_up

    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    handlers = Handlers(str(link.arguments["model"]), dict(link.arguments["recipe"]))
    link.serve({"prepare": handlers.prepare, "segment": handlers.segment})


class Handlers:
    """Requests of the wire to calls of a predictor, which is made at the first."""

    def __init__(self, model: str, recipe: dict[str, object]) -> None:
        self._model, self._recipe = model, recipe
        self._loaded: tuple[LoadedModel, Predictor] | None = None

    def prepare(self, request: Request) -> Answer:
        """Load the model. Answers with the facts of the sidecar; see `LoadedModel.facts`."""
        loaded, predictor = self._load()
        return Answer({"facts": loaded.facts(predictor)})

    def segment(self, request: Request) -> Answer:
        """`pixels` to labels in taxonomy `target`; `top_k`, `readout`, `measures` and `smoothing` are a Job's."""
        from mseg_studio.inference.jobs import Job, segment_frame
        from mseg_studio.inference.worker import end_if_device_is_dead
        from mseg_studio.labels import readout
        from mseg_studio.media.frame import Frame
        from mseg_studio.taxonomy.catalog import default_catalog

        loaded, predictor = self._load()
        fields = request.fields
        projection = default_catalog().projection(loaded.taxonomy.name, str(fields["target"]))
        job = Job(
            predictor,
            projection,
            loaded.facts(predictor),
            top_k=int(fields["top_k"]),
            readout=readout.from_dict(fields["readout"]),
            measures=tuple(fields["measures"]),
            smoothing=float(fields["smoothing"]),
        )
        steps = segment_frame(job, Frame(request.arrays["pixels"]), cancel=request.cancel)
        while True:
            try:
                request.progress(next(steps))
            except StopIteration as end:
                done = end.value
                break
            except RuntimeError as error:
                end_if_device_is_dead(error)
                raise
        arrays = {"ids": done.labels.ids_HW, **done.measures}
        if done.scores is not None:
            arrays |= {
                "class_ids": done.scores.class_ids_HWk,
                "probabilities": done.scores.probabilities_HWk,
                "residual": done.scores.residual_HW,
            }
        return Answer({"seconds": done.seconds}, arrays)

    def _load(self) -> tuple[LoadedModel, Predictor]:
        if self._loaded is None:
            from mseg_studio.inference.loaded_model import load_model
            from mseg_studio.inference.recipe import from_dict

            loaded = load_model(self._model)
            self._loaded = loaded, loaded.predictor(from_dict(self._recipe))
        return self._loaded
