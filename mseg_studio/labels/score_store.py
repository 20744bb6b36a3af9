"""Score maps on disk: one HDF5 file for an image or a video, from which label maps are made again without the network.

Layout (format 1): `/frames/<index:06d>/{class_ids (H, W, k), probabilities (H, W, k), residual (H, W)}`; the root
attributes say what the ids mean and how they came about: the keys of the sidecar JSON and `timestamps_s`. Lists and
mappings among them are JSON text. `taxonomy`, `ignore_id` and `classes` describe the ids in the store: the model's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ExportError, ImageReadError, TaxonomyError
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.labels.forgiving_file import ForgivingFile
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.storage import atomic_path
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

FORMAT = 1
MAX_VALUES = 1 << 33
"""Largest H * W * k that is read: a header that claims more is broken or hostile."""

_CHUNK_PX = 64
_LIBVER = ("v108", "v108")
"""Oldest version that holds attributes above 64 KiB (timestamps of long videos); every HDF5 since 2008 reads it."""
_COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}


class ScoreStoreWriter:
    """Writes score maps one by one; `path` appears, complete, when the `with` block ends without an error.

    Raises ExportError naming the file when it cannot be written. Memory does not grow with the number of frames.
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any]) -> None:
        self._path = path
        self._attributes = dict(attributes)
        self._timestamps_s: list[float] = []
        self._written: set[int] = set()
        self._first: ScoreMap | None = None
        self._class_pixels: npt.NDArray[np.int64] | None = None
        self._stack = contextlib.ExitStack()
        self._stream: ForgivingFile | None = None
        self._file: Any = None

    def __enter__(self) -> Self:
        with export_errors(self._path), contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            self._stream = stack.enter_context(ForgivingFile(temporary))
            self._file = stack.enter_context(h5py.File(self._stream, "w", libver=_LIBVER))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            # The caller's error is what matters; what closing a half-written file says about it is not.
            with contextlib.suppress(OSError, RuntimeError):
                self._stack.__exit__(kind, error, traceback)
            return
        with export_errors(self._path), self._stack:
            self._write_attributes()
            self._file.close()
            self._check_stream()

    def update(self, attributes: Mapping[str, Any]) -> None:
        """Add or replace root attributes that are known only at the end, such as `certified_share`."""
        self._attributes.update(attributes)

    def append(self, scores: ScoreMap, timestamp_s: float = 0.0, *, index: int | None = None) -> None:
        """Write one frame; `index` is its place in the source, one after the last when not given.

        Raises ExportError when the disk is full, ValueError for a frame in another taxonomy or an index written before.
        """
        number = len(self._timestamps_s) if index is None else index
        first = self._first or scores
        if scores.taxonomy != first.taxonomy:
            raise ValueError(f"a store holds one taxonomy, got {scores.taxonomy.name} after {first.taxonomy.name}")
        if number in self._written or number < 0:
            raise ValueError(f"frame {number} is negative or was written before")
        with export_errors(self._path):
            group = self._file.create_group(f"frames/{number:06d}")
            for name, values in _arrays(scores).items():
                chunks = tuple(min(_CHUNK_PX, size) for size in values.shape[:2]) + values.shape[2:]
                group.create_dataset(name, data=values, chunks=chunks, **_COMPRESSION)
            self._check_stream()
        self._first = first
        self._written.add(number)
        self._timestamps_s.append(float(timestamp_s))
        pixels = np.bincount(scores.class_ids_HWk[..., 0].ravel(), minlength=scores.taxonomy.num_channels)
        self._class_pixels = pixels if self._class_pixels is None else self._class_pixels + pixels

    def _write_attributes(self) -> None:
        if self._first is None or self._class_pixels is None:
            raise ExportError("a score store needs at least one frame", path=self._path)
        taxonomy = self._first.taxonomy
        own = {
            "format": FORMAT,
            "width": self._first.width,
            "height": self._first.height,
            "taxonomy": taxonomy.name,
            "ignore_id": taxonomy.ignore_id,
            "classes": [
                {"id": info.id, "name": info.name, "pixels": int(self._class_pixels[info.id]), "rgb": list(info.rgb)}
                for info in taxonomy.classes
            ],
            "recipe_hash": self._first.recipe_hash,
            "model_sha256": self._first.model_sha256,
            "timestamps_s": np.array(self._timestamps_s, np.float64),
        }
        for key, value in (self._attributes | own).items():
            if value is not None:
                self._file.attrs[key] = json.dumps(value) if isinstance(value, dict | list | tuple) else value

    def _check_stream(self) -> None:
        if self._stream is not None and self._stream.failure is not None:
            raise self._stream.failure


class ScoreStore:
    """An HDF5 score store opened for reading; frames are read when asked for. A context manager.

    Raises ImageReadError, one line that names the file, for everything that is not a complete and sound store.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = path = Path(path)
        with self._reading():
            if not path.is_file():
                raise ImageReadError("no such score store" if not path.exists() else "not a file", path=path)
            self._file = h5py.File(path, "r", locking=False)
        try:
            with self._reading():
                self._load_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames read before stay valid."""
        self._file.close()

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[ScoreMap]:
        return (self.frame(index) for index in self.indices)

    def frame(self, index: int) -> ScoreMap:
        """The score map of frame `index` of the source. Raises ImageReadError when it is missing or broken."""
        with self._reading():
            group = self._group(f"frames/{index:06d}")
            values = {name: self._array(group, name) for name in ("class_ids", "probabilities", "residual")}
            try:
                return ScoreMap(
                    values["class_ids"],
                    values["probabilities"],
                    values["residual"],
                    self.taxonomy,
                    str(self.attributes.get("recipe_hash", "")),
                    str(self.attributes.get("model_sha256", "")),
                )
            except ValueError as error:
                raise ImageReadError(f"frame {index} of the score store is broken: {error}", path=self._path) from error

    def _load_header(self) -> None:
        raw = {str(key): _plain(value) for key, value in self._file.attrs.items()}
        if "format" not in raw or "classes" not in raw or "frames" not in self._file:
            raise ImageReadError("an HDF5 file, but no score store of MSeg Studio", path=self._path)
        if raw["format"] != FORMAT:
            raise ImageReadError(f"score store of format {raw['format']}, this version reads {FORMAT}", path=self._path)
        self.attributes: dict[str, Any] = raw
        """Root attributes as plain values."""
        self.taxonomy = _taxonomy(raw, self._path)
        """What the class ids mean, from the store itself."""
        self.indices = tuple(sorted(self._index(name) for name in self._group("frames")))
        """Place of every stored frame in the source, increasing."""
        times = raw.get("timestamps_s", [])
        if not isinstance(times, list) or len(times) != len(self.indices):
            raise ImageReadError(f"{len(self.indices)} frames but not as many timestamps", path=self._path)
        self.timestamps_s = tuple(float(t) for t in times)
        """Presentation time of every stored frame."""

    def _index(self, name: str) -> int:
        if not name.isdecimal():
            raise ImageReadError(f"unexpected entry {name!r} among the frames of the score store", path=self._path)
        return int(name)

    def _group(self, name: str) -> Any:
        # A link to another file would make the store read what its sender chose.
        group: Any = self._file
        for part in name.split("/"):
            if not isinstance(group.get(part, getlink=True), h5py.HardLink) or not isinstance(group[part], h5py.Group):
                raise ImageReadError(f"the score store has no {name}", path=self._path)
            group = group[part]
        return group

    def _array(self, group: Any, name: str) -> npt.NDArray[Any]:
        where = f"{group.name}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink) or not isinstance(group[name], h5py.Dataset):
            raise ImageReadError(f"the score store has no {where}", path=self._path)
        dataset = group[name]
        if dataset.is_virtual or dataset.external:
            raise ImageReadError(f"{where} of the score store points to another file", path=self._path)
        if dataset.size is None or dataset.size > MAX_VALUES:
            raise ImageReadError(f"{where} of the score store claims the size {dataset.shape}", path=self._path)
        return np.asarray(dataset[()])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
            # h5py reports broken content as any of these, over several lines.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageReadError(f"cannot be read as a score store: {reason}", path=self._path) from error


def _arrays(scores: ScoreMap) -> dict[str, npt.NDArray[Any]]:
    return {
        "class_ids": scores.class_ids_HWk,
        "probabilities": scores.probabilities_HWk,
        "residual": scores.residual_HW,
    }


def _plain(value: Any) -> Any:
    """An HDF5 attribute as numbers, text, lists and dicts."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _taxonomy(attributes: Mapping[str, Any], path: Path) -> Taxonomy:
    try:
        classes = tuple(
            ClassInfo(int(row["id"]), str(row["name"]), (int(row["rgb"][0]), int(row["rgb"][1]), int(row["rgb"][2])))
            for row in attributes["classes"]
        )
        return Taxonomy(str(attributes["taxonomy"]), classes, int(attributes["ignore_id"]))
    except (TaxonomyError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ImageReadError(f"the score store describes its classes wrongly: {error}", path=path) from error
