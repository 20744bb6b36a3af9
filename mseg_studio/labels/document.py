"""What is open in the window: the only thing that changes. Plain callbacks, no Qt; one thread, the window's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.media.frame import Frame
from mseg_studio.taxonomy.model import Taxonomy

Change = Literal["frame", "prediction", "closed"]
Listener = Callable[[Change], None]


class Document:
    """One image or video frame with its prediction. Frames, label maps and sidecars in it are never written to.

    A prediction belongs to the frame it was asked for: `generation` counts frames, and a late answer to an earlier one
    is dropped.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._prediction: LabelMap | None = None
        self._sidecar: dict[str, Any] = {}
        self._generation = 0
        self._listeners: list[Listener] = []

    @property
    def frame(self) -> Frame | None:
        """The picture that is shown, None before the first."""
        return self._frame

    @property
    def prediction(self) -> LabelMap | None:
        """The label map of `frame`, None until there is one."""
        return self._prediction

    @property
    def sidecar(self) -> dict[str, Any]:
        """What inference says about `prediction`: keys of the sidecar JSON."""
        return dict(self._sidecar)

    @property
    def taxonomy(self) -> Taxonomy | None:
        """The taxonomy of `prediction`."""
        return None if self._prediction is None else self._prediction.taxonomy

    @property
    def generation(self) -> int:
        """Number of the frame: pass it with a request, give it back with the answer."""
        return self._generation

    def load(self, frame: Frame) -> int:
        """Show another picture, without a prediction yet. Gives its generation."""
        self._frame, self._prediction, self._sidecar = frame, None, {}
        self._generation += 1
        self._tell("frame")
        return self._generation

    def set_prediction(self, labels: LabelMap, sidecar: dict[str, Any], *, generation: int) -> bool:
        """Take the label map that was asked for at `generation`; False, and no change, when the frame is another now.

        Raises ValueError when the sizes differ.
        """
        if self._frame is None or generation != self._generation:
            return False
        expected = (self._frame.height, self._frame.width)
        if labels.ids_HW.shape != expected:
            raise ValueError(f"labels are {labels.ids_HW.shape}, the frame is {expected}")
        self._prediction, self._sidecar = labels, dict(sidecar)
        self._tell("prediction")
        return True

    def close(self) -> None:
        """Show nothing."""
        self._frame, self._prediction, self._sidecar = None, None, {}
        self._generation += 1
        self._tell("closed")

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every change; call what comes back to stop that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def _tell(self, change: Change) -> None:
        # A copy: a listener may unsubscribe while it is called.
        for listener in tuple(self._listeners):
            listener(change)
