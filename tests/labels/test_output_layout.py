from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import ExportError
from mseg_studio.labels.output_layout import IMAGE_SUFFIXES, VIDEO_SUFFIXES, InputItem, plan_outputs

OUT = Path("out")


def plan(*names: str, root: str | None = None) -> list[str]:
    items = [InputItem(Path(n), None if root is None else Path(root), n.endswith((".mp4", ".avi"))) for n in names]
    return [paths.base.as_posix() for _, paths in plan_outputs(items, OUT)]


@pytest.mark.parametrize(
    ("names", "root", "bases"),
    [
        (["photos/a.jpg"], None, ["out/a"]),
        (["photos/a.jpg", "photos/sub/b.jpg"], "photos", ["out/a", "out/sub/b"]),
        (["p/a.jpg", "p/a.png"], "p", ["out/a.jpg", "out/a.png"]),
        (["p/a.jpg", "p/sub/a.png"], "p", ["out/a", "out/sub/a"]),
        (["a.jpg", "a.mp4"], None, ["out/a.jpg", "out/a.mp4"]),
        (["x/a.jpg", "y/a.png"], None, ["out/a.jpg", "out/a.png"]),
        (["p/v1.2.jpg"], None, ["out/v1.2"]),
        (["p/.hidden.jpg"], None, ["out/.hidden"]),
        (["a.png", "a_colour.png"], None, ["out/a", "out/a_colour.png"]),
        (["a.png", "a_overlay.png", "b.png"], None, ["out/a", "out/a_overlay.png", "out/b"]),
        (["p/clip.mp4", "p/clip/000000.jpg"], "p", ["out/clip.mp4", "out/clip/000000"]),
        (["p/clip.mp4", "p/clip.avi"], "p", ["out/clip.mp4", "out/clip.avi"]),
        (["p/%04d.jpg", "p/-x.jpg", "p/naïve 🦊.jpg"], "p", ["out/%04d", "out/-x", "out/naïve 🦊"]),
    ],
)
def test_names(names: list[str], root: str | None, bases: list[str]) -> None:
    assert plan(*names, root=root) == bases


def test_files_of_an_image_and_of_a_video() -> None:
    (_, image), (_, video) = plan_outputs([InputItem(Path("a.b.jpg")), InputItem(Path("v.mp4"), is_video=True)], OUT)
    assert image.ids == OUT / "a.b.png"
    assert image.sidecar == OUT / "a.b.json"
    assert image.files() == {
        "ids": OUT / "a.b.png",
        "colour": OUT / "a.b_colour.png",
        "overlay": OUT / "a.b_overlay.png",
        "scores": OUT / "a.b.h5",
    }
    assert video.ids == OUT / "v"
    assert video.frame(12) == OUT / "v" / "000012.png"
    assert video.sidecar == OUT / "v.json"
    assert video.files()["video"] == OUT / "v_overlay.mp4"


def test_one_file_written_by_two_inputs_is_an_error() -> None:
    with pytest.raises(ExportError, match=r"x/a\.jpg and y/a\.jpg would both be written here"):
        plan("x/a.jpg", "y/a.jpg")


def test_an_output_never_replaces_an_input(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="would replace an input"):
        plan_outputs([InputItem(tmp_path / "a.png")], tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ExportError, match="would replace an input"):
        plan_outputs([InputItem(tmp_path / "a.png")], tmp_path / "link")
    assert plan_outputs([InputItem(tmp_path / "a.jpg")], tmp_path)[0][1].ids == tmp_path / "a.png"


def test_the_input_folder_is_no_output_folder(tmp_path: Path) -> None:
    items = [InputItem(tmp_path / "a.jpg", tmp_path)]
    with pytest.raises(ExportError, match="is an input folder"):
        plan_outputs(items, tmp_path)


def test_earlier_outputs_below_an_input_folder_are_left_out(tmp_path: Path) -> None:
    items = [InputItem(tmp_path / name, tmp_path) for name in ("a.jpg", "out/a.png", "out/sub/a_colour.png")]
    assert [item.path.name for item, _ in plan_outputs(items, tmp_path / "out")] == ["a.jpg"]
    named = [InputItem(tmp_path / "out" / "a.png")]
    assert len(plan_outputs(named, tmp_path / "elsewhere")) == 1


@given(
    st.sets(
        st.tuples(
            st.sampled_from(["", "s", "a", "a_overlay"]),
            st.sampled_from(["a", "a_colour", "a_overlay", "a.jpg", "b", "000000"]),
            st.sampled_from([".jpg", ".png", ".mp4"]),
        ),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_two_inputs_ever_share_a_file(names: set[tuple[str, str, str]]) -> None:
    items = [
        InputItem(Path("in", folder, stem + suffix), Path("in"), suffix == ".mp4")
        for folder, stem, suffix in sorted(names)
    ]
    try:
        planned = plan_outputs(items, OUT)
    except ExportError:
        return
    files: list[Path] = []
    for item, paths in planned:
        files += [paths.file(suffix) for suffix in (VIDEO_SUFFIXES if item.is_video else IMAGE_SUFFIXES)]
    assert len(files) == len(set(files))
    folders = {paths.base for item, paths in planned if item.is_video}
    assert not any(parent in folders for _, paths in planned for parent in paths.base.parents)
