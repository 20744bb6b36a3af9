"""Why numbers in a label file are not those that were expected: the usual mistakes, told apart by the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import IGNORE, DatasetDescription

_TRAIN_IDS = 19
"""Cityscapes: train ids are 0 to 18; label ids go on to 33, and their files hold no 255."""
_STEP = 5
"""Least factor that ids are multiplied by to be seen; a smaller one comes by chance."""
_MANY = 64
"""Undeclared numbers in one file that no labels have: a picture that was saved in grey."""


class Diagnosis(NamedTuple):
    """A mistake and the words for it."""

    code: str
    message: str


@dataclass(frozen=True)
class NumberRules:
    """What the numbers in label files of a dataset may be."""

    declared: frozenset[int]
    ignored: frozenset[int]
    scored: int
    """Classes with a number."""
    top: int
    """Largest n with 0 to n all declared, -1 without 0."""
    label_ids: bool
    """The numbers are label ids of Cityscapes or of one of the datasets that took them over."""
    train_ids: bool
    file: str

    @staticmethod
    def of(description: DatasetDescription) -> NumberRules:
        """The rules of a description."""
        id_map = description.id_map
        top = -1
        while top + 1 in id_map:
            top += 1
        return NumberRules(
            declared=frozenset(id_map),
            ignored=frozenset(number for number, name in id_map.items() if name == IGNORE),
            scored=len({name for name in id_map.values() if name != IGNORE}),
            top=top,
            label_ids=_is(id_map, {0: "unlabeled", 1: "ego vehicle", 7: "road", 33: "bicycle"}),
            train_ids=_is(id_map, {0: "road", 1: "sidewalk", 13: "car", 18: "bicycle"}) and top == _TRAIN_IDS - 1,
            file=description.path.name,
        )

    def diagnose(self, pixels: npt.NDArray[np.int64]) -> Diagnosis | None:
        """What is wrong with a file that holds number n `pixels[n]` times; None when nothing is."""
        seen = [int(number) for number in np.flatnonzero(pixels)]
        unknown = [number for number in seen if number not in self.declared]
        if not unknown:
            return self._suspicious(seen)
        return (
            _mask(seen)
            or self._wide(seen, unknown)
            or self._shifted(seen, unknown)
            or self._other_ids(unknown)
            or self._stretched(seen)
            or self._undeclared(unknown, pixels)
        )

    def _suspicious(self, seen: list[int]) -> Diagnosis | None:
        """Numbers that are all declared and mean something else all the same."""
        if self.label_ids and 255 in seen and len(seen) > 1 and max(set(seen) - {255}) < _TRAIN_IDS:
            return Diagnosis("train-ids", "0 to 18 and 255 only: train ids, expected label ids (0 to 33)")
        if seen == [0, 255] and self.scored > 2:
            return Diagnosis("only-0-and-255", f"0 and 255 only: a mask of one object? expected {self._expected()}")
        return None

    def _wide(self, seen: list[int], unknown: list[int]) -> Diagnosis | None:
        """16 bits."""
        if max(seen) <= 255:
            return None
        if all(number % 257 == 0 and number // 257 in self.declared for number in seen):
            return Diagnosis("16-bit", "8-bit ids stretched to 16 bits (all are multiples of 257)")
        if all(number >= 1000 and number // 1000 in self.declared for number in unknown):
            found = f"{unknown[0]} and the like: instance ids (1000 x id + instance)"
            return Diagnosis("instance-ids", f"{found}, expected {self._expected()}")
        return Diagnosis("16-bit", f"16-bit numbers up to {max(seen)}, expected {self._expected()}")

    def _shifted(self, seen: list[int], unknown: list[int]) -> Diagnosis | None:
        if unknown == [self.top + 1] and 0 not in seen:
            return Diagnosis("off-by-one", f"1 to {self.top + 1}, expected 0 to {self.top}: shifted by one")
        if unknown == [254] and 255 in self.ignored and 255 not in seen:
            return Diagnosis("off-by-one", "254 where 255 (ignored) was expected: shifted by one")
        if unknown == [0] and 1 in self.declared and max(seen) < max(self.declared - self.ignored, default=0):
            return Diagnosis("off-by-one", f"0 is not declared, expected {self._expected()}: shifted by one?")
        return None

    def _other_ids(self, unknown: list[int]) -> Diagnosis | None:
        if self.train_ids and min(unknown) >= _TRAIN_IDS and max(unknown) <= 33:
            found = f"{', '.join(map(str, unknown[:4]))}: label ids (0 to 33)"
            return Diagnosis("label-ids", f"{found}, expected train ids (0 to 18)")
        if len(unknown) >= _MANY:
            return Diagnosis("grey-picture", f"{len(unknown)} undeclared numbers: a picture in grey, expected ids")
        return None

    def _stretched(self, seen: list[int]) -> Diagnosis | None:
        step = int(np.gcd.reduce([number for number in seen if number] or [1]))
        if step >= _STEP and len(seen) > 2 and all(number // step in self.declared for number in seen):
            return Diagnosis(
                "scaled-ids", f"all are multiples of {step}: ids made visible, expected {self._expected()}"
            )
        return None

    def _undeclared(self, unknown: list[int], pixels: npt.NDArray[np.int64]) -> Diagnosis:
        more = "" if len(unknown) == 1 else f", nor are {len(unknown) - 1} more"
        found = f"id {unknown[0]} ({_pixels(int(pixels[unknown[0]]))}) is not declared in {self.file}{more}"
        return Diagnosis("undeclared-id", f"{found}; expected {self._expected()}")

    def _expected(self) -> str:
        """The declared numbers in few words."""
        numbers = sorted(self.declared)
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        words = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
        return ", ".join(words) if len(words) <= 4 else ", ".join([*words[:3], "..."])


def _mask(seen: list[int]) -> Diagnosis | None:
    if seen in ([0, 255], [255]):
        return Diagnosis("0-255-mask", "0 and 255 only: a mask of one object, expected ids of classes")
    return None


def _is(id_map: Mapping[int, str], some: Mapping[int, str]) -> bool:
    return all(id_map.get(number) == name for number, name in some.items())


def _pixels(count: int) -> str:
    return "1 pixel" if count == 1 else f"{count} pixels"
