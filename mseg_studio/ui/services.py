"""What the window is built on, handed to it from outside: worker clients and the lists of what is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.ui.bridges import InferenceBridge, MediaBridge
from mseg_studio.ui.workspaces.segment.estimate import Learn, Predict, learn_nothing


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One installed model, as the window needs it."""

    name: str
    taxonomy: str
    num_classes: int
    base_size: int
    crop_px: int
    trained_classes: tuple[str, ...] = ()
    """Names of the classes the weights know; empty when they know all."""
    bundled: bool = False

    @property
    def is_demo(self) -> bool:
        """Whether the window must say that it knows only part of its taxonomy."""
        return 0 < len(self.trained_classes) < self.num_classes


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside the window."""

    media: MediaBridge
    inference: InferenceBridge
    catalog: Catalog
    models: Callable[[], Sequence[ModelChoice]]
    predict: Predict
    search: Callable[[Taxonomy, str, int], list[ClassInfo]]
    cameras: Callable[[], Sequence[str]] = field(default=tuple)
    """Sources to open as a camera; empty where there is none."""
    learn: Learn = learn_nothing
    """Told what runs took, so that `predict` gets better."""
