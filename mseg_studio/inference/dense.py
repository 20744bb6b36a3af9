"""What is kept of an image after the network ran: enough for labels in any taxonomy, without running it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mseg_studio.inference.cost import Cost
from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.labels.readout import MEASURE_STEPS, Reading, Readout
from mseg_studio.labels.score_map import DEFAULT_K, ScoreMap
from mseg_studio.taxonomy.model import Taxonomy
from mseg_studio.taxonomy.projection import Projection

Channels = npt.NDArray[np.int32]


class DenseScores(Protocol):
    """Probabilities of all classes in the model's own taxonomy; a channel is a class id.

    Nothing of native size times all classes ever exists. Everything between softmax and argmax is linear, so a
    projection at the end gives the same labels as the published projection inside every crop (parity.md 2.4).
    """

    @property
    def height(self) -> int:
        """Rows of the image."""
        ...

    @property
    def width(self) -> int:
        """Columns of the image."""
        ...

    @property
    def cost(self) -> Cost:
        """What the network did for it."""
        ...

    @property
    def num_channels(self) -> int:
        """C: the model taxonomy's largest id + 1."""
        ...

    def labels(self, projection: Projection) -> LabelMap:
        """Most probable class of `projection.target` for every pixel of the image, at native size.

        Between equal sums the smaller id wins; where nothing maps to the target the first class does.
        """
        ...

    def read(self, projection: Projection, readout: Readout) -> Reading:
        """Labels under `readout` (`labels/readout.py` says what they mean), and its measure."""
        ...

    def top_k(
        self, taxonomy: Taxonomy, *, k: int = DEFAULT_K, recipe_hash: str = "", model_sha256: str = ""
    ) -> ScoreMap:
        """The k most probable classes of every pixel, and the probability of all others. `taxonomy` is the model's."""
        ...

    def at_size(self, height: int, width: int) -> DenseScores:
        """The same scores read at another size than the image's own: interpolated once, from the network's grids."""
        ...

    def probe(self, x: int, y: int) -> npt.NDArray[np.float32]:
        """Probabilities (C,) at one pixel of the image. Raises ValueError outside of it."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Which source channels are summed into which output channel; `sets` None leaves channels as they are."""

    sets: Sequence[npt.NDArray[np.intp]] | None

    @classmethod
    def of(cls, projection: Projection, channels: int) -> Groups:
        """Groups of the classes of `projection` that take part."""
        as_they_are = projection.is_identity and len(projection.class_ids) == channels
        return cls(None if as_they_are else projection.groups_of_parts)

    @classmethod
    def classes_of(cls, taxonomy: Taxonomy) -> Groups:
        """One group a class: leaves out channels that are no class."""
        ids = [info.id for info in taxonomy.classes]
        return cls(None if len(ids) == taxonomy.num_channels else [np.array([one], np.intp) for one in ids])

    @property
    def arrays(self) -> tuple[Channels, Channels]:
        """(members, ends) for the compiled passes; see `kernels.sum_groups`."""
        if self.sets is None:
            return np.zeros(0, np.int32), np.zeros(1, np.int32)
        ends = np.cumsum([0, *(len(members) for members in self.sets)])
        return np.concatenate(self.sets).astype(np.int32), ends.astype(np.int32)

    @property
    def merges(self) -> bool:
        """Whether any group has more than one channel."""
        return self.sets is not None and any(len(members) > 1 for members in self.sets)

    def lookup(self, channels: int) -> Channels:
        """(channels,): the output channel of a source channel, -1 for none."""
        if self.sets is None:
            return np.arange(channels, dtype=np.int32)
        lookup = np.full(channels, -1, np.int32)
        for target, members in enumerate(self.sets):
            lookup[members] = target
        return lookup


def part_ids(projection: Projection) -> Ids:
    """Ids of the classes that take part, in order, in the dtype of a label map."""
    return as_ids(np.array(projection.class_ids), projection.target)


def class_ids_of(taxonomy: Taxonomy) -> Ids:
    """Class ids in order, in the dtype of a label map."""
    return as_ids(np.array([info.id for info in taxonomy.classes]), taxonomy)


def unsure_ignored(ids_HW: Ids, confidence_HW: npt.NDArray[np.uint16], taxonomy: Taxonomy, least: float) -> None:
    """Replace labels whose confidence is below `least` by the ignore id, in place."""
    if least > 0:
        ids_HW[confidence_HW < round(least * MEASURE_STEPS)] = taxonomy.ignore_id


def check_source(source: Taxonomy, num_channels: int) -> None:
    """Raise ValueError unless scores of `num_channels` are of `source`."""
    if source.num_channels != num_channels:
        raise ValueError(f"scores have {num_channels} channels, {source.name} has {source.num_channels}")
