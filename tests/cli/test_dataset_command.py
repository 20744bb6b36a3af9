from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mseg_studio.cli.main import main
from tests.datasets.camvid_like import FAULTS, make_camvid
from tests.datasets.test_ready import build


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["dataset", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return make_camvid(tmp_path / "c", train=6, val=2)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "list")
    assert (code, err) == (0, "")
    assert "cityscapes  " in out and "(cityscapes-34)" in out
    code, out, _ = run(capsys, "list", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    names = [line["name"] for line in lines[:-1]]
    assert code == 0 and lines[-1] == {"summary": {"done": len(names), "skipped": 0, "failed": 0}}
    assert {"ade20k", "bdd", "cityscapes", "idd", "mapillary", "sunrgbd"} <= set(names)
    assert {"voc2012", "pascal-context", "camvid", "wilddash", "kitti", "scannet"} <= set(names)
    assert all(line["needs"] and line["where"] for line in lines[:-1])


def test_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "show", "kitti")
    assert code == 0
    assert "needs     Unpack data_semantics.zip" in out and "not set: --root DIR" in out and "26  car" in out
    code, out, _ = run(capsys, "show", "camvid", "--json", "--root", str(tmp_path))
    value = json.loads(out)
    assert value["roots"] == [str(tmp_path)] and [128, 128, 128, "Sky"] in value["colour_map"]


def test_check_of_a_healthy_dataset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    build(tmp_path, "kitti")
    code, out, err = run(capsys, "check", "kitti", "--root", str(tmp_path), "--threads", "1")
    assert (code, err) == (0, "")
    assert "kitti: 1 pair in" in out and "nothing wrong" in out


def test_check_of_a_faulty_one(capsys: pytest.CaptureFixture[str], camvid: Path) -> None:
    FAULTS["shifted"][1](camvid / "train" / "train_000.jpg", camvid / "trainannot" / "train_000.png")
    arguments = ["check", "camvid-480x360", "--root", str(camvid), "--split", "train", "--split", "val"]
    code, out, _ = run(capsys, *arguments)
    assert code == 1 and out.startswith("error   off-by-one: ")
    code, out, _ = run(capsys, *arguments, "--json")
    value = json.loads(out)
    assert (
        code == 1 and value["codes"] == {"off-by-one": 1} and [s["name"] for s in value["splits"]] == ["train", "val"]
    )


def test_progress_as_json(capsys: pytest.CaptureFixture[str], camvid: Path) -> None:
    _, out, _ = run(capsys, "check", "camvid-480x360", "--root", str(camvid), "--json", "--progress-json")
    lines = [json.loads(line) for line in out.splitlines()]
    done = [line["progress"]["done"] for line in lines[:-1]]
    assert done == sorted(done) and {0, 8} <= set(done)
    assert lines[-1]["pairs"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "cityscape"], "'cityscape' is neither a file nor the name of a ready description; did you mean"),
        (["check", "cityscapes"], "it is not known where 'cityscapes' lies; give --root DIR"),
        (["check", "kitti", "--root", ".", "--threads", "0"], "--threads is 0, expected 1 or more"),
        (["check", "kitti", "--root", ".", "--split", "tran"], "has no split 'tran'; did you mean train"),
        (["show", "a\n"], "'a\\n' is neither a file"),
    ],
)
def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=1, val=1)
    for number in range(4000):
        for kind, end in (("train", "jpg"), ("trainannot", "png")):
            os.link(root / kind / f"train_000.{end}", root / kind / f"{number}.{end}")
    command = [sys.executable, "-m", "mseg_studio", "dataset", "check", "camvid-480x360", "--root", str(root)]
    child = subprocess.Popen(
        [*command, "--threads", "1", "--progress-json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert '"done": 0' in child.stdout.readline()
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "mseg-studio: cancelled\n")
    assert '"dataset"' not in out
