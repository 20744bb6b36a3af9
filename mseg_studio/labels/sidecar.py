"""The JSON beside every output: what the ids mean, how they were made, and whether they must be made again.

The sidecar is written last and its predecessor removed first, so an output with a sidecar is complete and of that
recipe. Keys: contracts.md, "Sidecar JSON"; `source_bytes`, `source_mtime_s` and `outputs` come on top: the rule "is it
done" needs them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self

from mseg_studio import __version__
from mseg_studio.errors import ConfigError, printable
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.storage import write_json_atomic
from mseg_studio.taxonomy.model import Taxonomy

FORMAT = 1


@dataclass(frozen=True, slots=True)
class SourceStamp:
    """A source file as it was: when size and time of change are the same, so are the pixels."""

    path: str
    bytes: int = -1
    mtime_s: float = 0.0

    @classmethod
    def of(cls, path: str | PathLike[str]) -> Self:
        """The stamp of the file at `path`. Raises OSError."""
        status = Path(path).stat()
        return cls(printable(fspath(path)), status.st_size, status.st_mtime)


@dataclass(frozen=True, slots=True)
class ModelStamp:
    """Which weights made an output."""

    name: str
    network: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """A class that occurs and how often."""

    id: int
    name: str
    pixels: int


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is known about one output. Build it with `build`; values are plain JSON."""

    source: SourceStamp
    width: int
    height: int
    taxonomy: str
    ignore_id: int
    classes: tuple[ClassPixels, ...]
    model: ModelStamp
    recipe: Mapping[str, Any]
    recipe_hash: str
    engine: str
    precision: str
    device: str
    certified_share: float
    """Share of pixels that are certainly those of a fresh run: 1 for labels made from dense scores."""
    mapping: str
    """"projected" from probabilities or "hard" from ids."""
    outputs: tuple[str, ...] = ()
    """Names of the exporters whose files were written."""
    frames: int | None = None
    """Number of frames of a video, None for an image."""
    timestamps_s: tuple[float, ...] | None = None
    """Presentation times of a video's frames."""
    notes: tuple[str, ...] = ()
    """What a person should know about the source: it is damaged, frames are missing."""
    readout: Mapping[str, Any] = field(default_factory=dict)
    """What made the labels others than the plain ones; see `Readout.facts`. Empty for plain labels."""
    calibration: str = ""
    """Which calibration the numbers of int8 come from; empty in other precisions."""
    program_version: str = field(default=__version__)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order people read them."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "source": self.source.path,
            "source_bytes": self.source.bytes,
            "source_mtime_s": self.source.mtime_s,
            "width": self.width,
            "height": self.height,
            "taxonomy": self.taxonomy,
            "ignore_id": self.ignore_id,
            "classes": [{"id": c.id, "name": c.name, "pixels": c.pixels} for c in self.classes],
            "model": {"name": self.model.name, "network": self.model.network, "sha256": self.model.sha256},
            "recipe": dict(self.recipe),
            "recipe_hash": self.recipe_hash,
            "engine": self.engine,
            "precision": self.precision,
            "device": self.device,
            "certified_share": self.certified_share,
            "mapping": self.mapping,
            "outputs": list(self.outputs),
            "program_version": self.program_version,
        }
        if self.frames is not None:
            values["frames"] = self.frames
        if self.timestamps_s is not None:
            values["timestamps_s"] = list(self.timestamps_s)
        if self.readout:
            values["readout"] = dict(self.readout)
        if self.calibration:
            values["calibration"] = self.calibration
        if self.notes:
            values["notes"] = list(self.notes)
        return values


def build(
    labels: LabelMap | Taxonomy,
    known: Mapping[str, Any],
    *,
    source: SourceStamp,
    size: tuple[int, int] | None = None,
    pixels: Mapping[int, int] | None = None,
    outputs: Sequence[str] = (),
    timestamps_s: Sequence[float] | None = None,
    notes: Sequence[str] = (),
) -> Sidecar:
    """The sidecar of a label map, or of a video: then its taxonomy, `size` (height, width), `pixels` by class id.

    `known` holds what inference knows: model, recipe, recipe_hash, engine, precision, device, certified_share, mapping,
    readout (the `sidecar` of `LabelsReady`). Raises ValueError when one is missing.
    """
    if isinstance(labels, LabelMap):
        taxonomy, size = labels.taxonomy, labels.ids_HW.shape
        classes = tuple(ClassPixels(info.id, info.name, count) for info, count in labels.counts())
        own_mapping = labels.mapping
    else:
        taxonomy, own_mapping = labels, "projected"
        counted = sorted((pixels or {}).items(), key=lambda item: -item[1])
        named = ((taxonomy.get(class_id), count) for class_id, count in counted if count)
        classes = tuple(ClassPixels(info.id, info.name, count) for info, count in named if info is not None)
    if size is None:
        raise ValueError("a sidecar of a video needs its size (height, width)")
    missing = {"model", "recipe", "recipe_hash"} - set(known)
    if missing:
        raise ValueError(f"a sidecar needs {', '.join(sorted(missing))}")
    model, recipe = known["model"], dict(known["recipe"])
    return Sidecar(
        source=source,
        width=int(size[1]),
        height=int(size[0]),
        taxonomy=taxonomy.name,
        ignore_id=taxonomy.ignore_id,
        classes=classes,
        model=ModelStamp(str(model["name"]), str(model["network"]), str(model["sha256"])),
        recipe=recipe,
        recipe_hash=str(known["recipe_hash"]),
        engine=str(known.get("engine", "")),
        precision=str(known.get("precision") or recipe.get("precision", "")),
        device=str(known.get("device") or recipe.get("device", "")),
        certified_share=float(known.get("certified_share", 1.0)),
        mapping="hard" if own_mapping == "hard" else str(known.get("mapping", "projected")),
        outputs=tuple(outputs),
        frames=None if timestamps_s is None else len(timestamps_s),
        timestamps_s=None if timestamps_s is None else tuple(float(t) for t in timestamps_s),
        notes=tuple(notes),
        readout=dict(known.get("readout", {})),
        calibration=str(known.get("calibration", "")),
    )


def parse(values: Any, path: Path) -> Sidecar:
    """The sidecar that `as_dict` gave; unknown keys are allowed. Raises ConfigError naming `path` and what is wrong."""
    if not isinstance(values, dict) or "format" not in values:
        raise ConfigError("not a sidecar of MSeg Studio", path=path)
    if values["format"] != FORMAT:
        raise ConfigError(f"sidecar of format {values['format']}, this version reads {FORMAT}", path=path)
    try:
        times = values.get("timestamps_s")
        return Sidecar(
            source=SourceStamp(
                str(values["source"]), int(values.get("source_bytes", -1)), float(values.get("source_mtime_s", 0))
            ),
            width=int(values["width"]),
            height=int(values["height"]),
            taxonomy=str(values["taxonomy"]),
            ignore_id=int(values["ignore_id"]),
            classes=tuple(ClassPixels(int(c["id"]), str(c["name"]), int(c["pixels"])) for c in values["classes"]),
            model=ModelStamp(*(str(values["model"][key]) for key in ("name", "network", "sha256"))),
            recipe=dict(values["recipe"]),
            recipe_hash=str(values["recipe_hash"]),
            engine=str(values["engine"]),
            precision=str(values["precision"]),
            device=str(values["device"]),
            certified_share=float(values["certified_share"]),
            mapping=str(values["mapping"]),
            outputs=tuple(str(name) for name in values.get("outputs", ())),
            frames=None if values.get("frames") is None else int(values["frames"]),
            timestamps_s=None if times is None else tuple(float(t) for t in times),
            notes=tuple(str(note) for note in values.get("notes", ())),
            readout=dict(values.get("readout", {})),
            calibration=str(values.get("calibration", "")),
            program_version=str(values["program_version"]),
        )
    except KeyError as error:
        raise ConfigError(f"the sidecar has no {error}", path=path) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"the sidecar has a wrong value: {error}", path=path) from error


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar. Raises ConfigError naming the file; OSError when there is none."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, or a number of thousands of digits
        raise ConfigError(f"not JSON: {error}", path=path) from error
    return parse(values, path)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write it atomically, after all the files it speaks of. Raises ExportError."""
    with export_errors(path):
        write_json_atomic(path, sidecar.as_dict())


def withdraw(path: Path) -> None:
    """Remove an old sidecar before its outputs are replaced: a run that is cut off must not look done.

    Raises ExportError.
    """
    with export_errors(path), contextlib.suppress(FileNotFoundError):
        path.unlink()


def finished(
    path: Path,
    *,
    source: SourceStamp,
    taxonomy: str,
    recipe_hash: str,
    model_sha256: str,
    readout: Mapping[str, Any] | None = None,
    calibration: str = "",
) -> Sidecar | None:
    """The sidecar at `path` when it was made from this source, by this recipe and model, in this taxonomy; else None.

    `readout` and `calibration` are as in `Sidecar`: labels of other classes, say, are other labels. A sidecar that is
    missing, broken or of a newer format is none: the output is made again.
    """
    try:
        found = read_sidecar(path)
    except (ConfigError, OSError):
        return None
    same = (
        (found.source.bytes, found.source.mtime_s) == (source.bytes, source.mtime_s)
        and found.taxonomy == taxonomy
        and found.recipe_hash == recipe_hash
        and found.model.sha256 == model_sha256
        and found.readout == (readout or {})
        and found.calibration == calibration
    )
    return found if same else None


def is_done(
    path: Path,
    files: Mapping[str, Path],
    *,
    source: SourceStamp,
    taxonomy: str,
    recipe_hash: str,
    model_sha256: str,
    readout: Mapping[str, Any] | None = None,
    calibration: str = "",
    wanted: Collection[str] = ("ids",),
) -> bool:
    """Whether every output in `wanted` was written with these (see `finished`), and is there.

    `files` gives the path of each output; for the ids of a video that is a folder with one file a frame.
    """
    found = finished(
        path,
        source=source,
        taxonomy=taxonomy,
        recipe_hash=recipe_hash,
        model_sha256=model_sha256,
        readout=readout,
        calibration=calibration,
    )
    if found is None or not set(wanted) <= set(found.outputs):
        return False
    return all(_is_there(files[name], found.frames) for name in wanted)


def _is_there(path: Path, frames: int | None) -> bool:
    if not path.is_dir():
        return path.is_file()
    names = {entry.name for entry in path.iterdir()}
    return all(f"{number:06d}.png" in names for number in range(frames or 0))
