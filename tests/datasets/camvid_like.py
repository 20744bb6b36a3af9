"""A small dataset like CamVid at 480 x 360, and faults to plant in it or in a copy of the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

NUMBERS = 12
"""0 to 10 are classes, 11 is not scored."""


def make_camvid(folder: Path, *, train: int = 20, val: int = 4) -> Path:
    """`train` and `val` with their annotations, JPEG images and PNG labels; gives the folder."""
    rng = np.random.default_rng(1)
    for split, count in (("train", train), ("val", val)):
        for kind in (split, f"{split}annot"):
            (folder / kind).mkdir(parents=True)
        for number in range(count):
            coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
            image = cv2.resize(coarse, (48, 36), interpolation=cv2.INTER_CUBIC)
            labels = np.repeat(np.repeat(rng.permutation(NUMBERS).reshape(3, 4), 12, 0), 12, 1).astype(np.uint8)
            cv2.imwrite(str(folder / split / f"{split}_{number:03}.jpg"), image)
            cv2.imwrite(str(folder / f"{split}annot" / f"{split}_{number:03}.png"), labels)
    return folder


def _rewrite(change: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.generic]]) -> Callable[[Path, Path], None]:
    def plant(image: Path, label: Path) -> None:
        assert cv2.imwrite(str(label), change(cv2.imread(str(label), cv2.IMREAD_UNCHANGED)))

    return plant


def _cut(image: Path, label: Path) -> None:
    label.write_bytes(label.read_bytes()[: label.stat().st_size // 2])


def _cut_image(image: Path, label: Path) -> None:
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def _as_jpeg(image: Path, label: Path) -> None:
    cv2.imwrite(str(label.with_suffix(".jpg")), cv2.imread(str(label), cv2.IMREAD_UNCHANGED))
    label.with_suffix(".jpg").replace(label)


def _leak(image: Path, label: Path) -> None:
    root = image.parents[1]
    (root / "val" / "leak.jpg").write_bytes(image.read_bytes())
    (root / "valannot" / "leak.png").write_bytes(label.read_bytes())


def _stray(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    ids[0, :5] = 99
    return ids


def _colours(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (NUMBERS, 3), np.uint8)[ids]


def _break_link(image: Path, label: Path) -> None:
    image.unlink()
    image.symlink_to("/nowhere/at-all.jpg")


FAULTS: dict[str, tuple[str, Callable[[Path, Path], None], str]] = {
    # name: code, how to plant it in a pair of train, a part of the message
    "mask": ("0-255-mask", _rewrite(lambda a: (a == 3).astype(np.uint8) * 255), "a mask of one object"),
    "shifted": ("off-by-one", _rewrite(lambda a: a + 1), "1 to 12, expected 0 to 11"),
    "colours": ("rgb-label", _rewrite(_colours), "RGB in place of ids"),
    "grey in three channels": ("rgb-label", _rewrite(lambda a: np.repeat(a[..., None], 3, 2)), "three equal channels"),
    "16 bits": ("16-bit", _rewrite(lambda a: a.astype(np.uint16) * 257), "stretched to 16 bits"),
    "instances": ("instance-ids", _rewrite(lambda a: a.astype(np.uint16) * 1000 + 7), "instance ids"),
    "visible ids": ("scaled-ids", _rewrite(lambda a: a * 20), "multiples of 20"),
    "stray id": ("undeclared-id", _rewrite(_stray), "id 99 (5 pixels) is not declared in"),
    "a photograph": (
        "grey-picture",
        _rewrite(lambda a: np.arange(a.size, dtype=np.uint32).reshape(a.shape).astype(np.uint8)),
        "a picture in grey",
    ),
    "half the height": ("size-mismatch", _rewrite(lambda a: a[: a.shape[0] // 2]), "not the same picture"),
    "half the size": ("size-differs", _rewrite(lambda a: a[::2, ::2]), "training needs them equal"),
    "nothing scored": ("all-ignored", _rewrite(lambda a: np.full_like(a, 11)), "no pixel of it is scored"),
    "cut label": ("unreadable-label", _cut, "truncated PNG"),
    "cut image": ("unreadable-image", _cut_image, "truncated JPEG"),
    "empty label": ("unreadable-label", lambda image, label: label.write_bytes(b"") and None, "the file is empty"),
    "no label": ("no-label", lambda image, label: label.unlink(), "is missing"),
    "no image": ("no-image", lambda image, label: image.unlink(), "a label without an image"),
    "jpeg": ("jpeg-label", _as_jpeg, "expected a PNG"),
    "leak": ("in-two-splits", _leak, "of split 'train', this is 'val'"),
    "case": (
        "case",
        lambda image, label: label.rename(label.with_suffix(".PNG")) and None,
        ".PNG is there: upper and lower case differ",
    ),
    "broken link": ("unreadable-image", _break_link, "a link to /nowhere/at-all.jpg, which is not there"),
}
