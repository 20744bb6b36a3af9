"""Where the outputs of an input go (contracts.md, "Outputs of segment").

`DIR/<relative path>/<stem>.png | .json | _colour.png | _overlay.png | .h5`, and one `_<name>.png` for each measure; a
video has a folder `DIR/<stem>/` with one `<frame:06d>.png` a frame, and its other files beside the folder. Inputs whose
outputs would collide keep their extension: `a.jpg` and `a.png` give `a.jpg.png` and `a.png.png`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import ExportError

IMAGE_SUFFIXES = (
    *(".png", ".json", "_colour.png", "_overlay.png", ".h5"),
    *("_confidence.png", "_margin.png", "_entropy.png"),
)
VIDEO_SUFFIXES = ("", ".json", "_overlay.mp4", ".h5")
"""What a video puts beside its folder of frames, and the folder itself."""


@dataclass(frozen=True, slots=True)
class InputItem:
    """One image or video of the command line; `root` is the folder it was found through, None when named itself."""

    path: Path
    root: Path | None = None
    is_video: bool = False


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The files of one input. Nothing is created here."""

    base: Path
    """Folder and name without any ending; names may hold dots."""
    is_video: bool = False

    def file(self, suffix: str) -> Path:
        """`base` with `suffix` at its end."""
        return self.base.with_name(self.base.name + suffix)

    @property
    def ids(self) -> Path:
        """The id picture; of a video the folder of its frames."""
        return self.base if self.is_video else self.file(".png")

    @property
    def sidecar(self) -> Path:
        """The JSON."""
        return self.file(".json")

    @property
    def colour(self) -> Path:
        """Class colours as RGB."""
        return self.file("_colour.png")

    @property
    def overlay(self) -> Path:
        """Class colours over the image; of a video a video."""
        return self.file("_overlay.mp4" if self.is_video else "_overlay.png")

    @property
    def scores(self) -> Path:
        """The HDF5 score store."""
        return self.file(".h5")

    def frame(self, index: int) -> Path:
        """The id picture of one frame of a video."""
        return self.base / f"{index:06d}.png"

    def files(self) -> dict[str, Path]:
        """Every output by the name that `--save` has for it."""
        overlay = "video" if self.is_video else "overlay"
        return {"ids": self.ids, "colour": self.colour, overlay: self.overlay, "scores": self.scores}


def plan_outputs(items: Sequence[InputItem], output: Path) -> list[tuple[InputItem, OutputPaths]]:
    """Output paths of every input, in order.

    When `output` lies inside an input folder, what is below it are earlier outputs: left out. Raises ExportError when
    two inputs would write the same file even with their extensions, when an output would replace an input, or when
    `output` is an input folder itself (the next run would take outputs for inputs).
    """
    place = _RealPaths()
    real_output = place.of(output)
    inside: set[Path] = set()
    for root in {item.root for item in items if item.root is not None}:
        if place.of(root) == real_output:
            raise ExportError("the output folder is an input folder; choose another one", path=output)
        if real_output.is_relative_to(place.of(root)):
            inside.add(root)
    kept = [i for i in items if i.root not in inside or not place.of(i.path).is_relative_to(real_output)]
    stems = [_folder(item, output) / item.path.stem for item in kept]
    full = [_folder(item, output) / item.path.name for item in kept]
    clashing = _clashing(kept, stems)
    bases = [full[n] if n in clashing else stems[n] for n in range(len(kept))]
    plan = [(item, OutputPaths(base, item.is_video)) for item, base in zip(kept, bases, strict=True)]
    _refuse_collisions(plan, place)
    return plan


def _folder(item: InputItem, output: Path) -> Path:
    return output if item.root is None else output / item.path.parent.relative_to(item.root)


def _clashing(items: Sequence[InputItem], bases: Sequence[Path]) -> set[int]:
    """Positions of the inputs whose outputs meet those of another; the one with the shortest name may stay."""
    counts = Counter(key for item, base in zip(items, bases, strict=True) for key in _keys(item, base))
    same_name = Counter(os.path.normcase(base) for base in bases)
    folders = _parents(bases)
    found = set()
    for number, (item, base) in enumerate(zip(items, bases, strict=True)):
        name = os.path.normcase(base)
        if same_name[name] > 1 or (item.is_video and name in folders):
            found.add(number)
        elif any(counts[key] > 1 and key == os.path.normcase(f"{base}.png") for key in _keys(item, base)):
            # `a_colour.png` beside `a.png`: its ids would be the colour picture of the other.
            found.add(number)
    return found


def _keys(item: InputItem, base: Path) -> Iterator[str]:
    for suffix in VIDEO_SUFFIXES if item.is_video else IMAGE_SUFFIXES:
        yield os.path.normcase(f"{base}{suffix}")


def _parents(bases: Iterable[Path]) -> set[str]:
    """Every folder that holds outputs."""
    found: set[Path] = set()
    for base in bases:
        for parent in base.parents:
            if parent in found:
                break
            found.add(parent)
    return {os.path.normcase(folder) for folder in found}


def _refuse_collisions(plan: Sequence[tuple[InputItem, OutputPaths]], place: _RealPaths) -> None:
    inputs = {os.path.normcase(place.of(item.path)) for item, _ in plan}
    owner: dict[str, Path] = {}
    for item, paths in plan:
        for key in _keys(item, paths.base):
            if key in owner:
                raise ExportError(f"{owner[key]} and {item.path} would both be written here", path=key)
            owner[key] = item.path
            if os.path.normcase(place.of(Path(key))) in inputs:
                raise ExportError("the output would replace an input; choose another output folder", path=key)


class _RealPaths:
    """Paths with links in their folders followed; a folder is looked up once, not once a file."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def of(self, path: Path) -> Path:
        if path.name in ("", "..") or path.is_dir():
            return Path(os.path.realpath(path))
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = Path(os.path.realpath(folder))
        return self._folders[folder] / path.name
