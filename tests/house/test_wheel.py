"""The wheel alone is the program: installed beside nothing but its dependencies, it runs from anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=_ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that sees this one's packages, but not the checkout that this one is linked to."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    _run([*pip, "--disable-pip-version-check", str(wheel)], cwd=folder)
    probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(_run([str(python), "-c", probe], cwd=folder).strip())
    # A path line in a .pth file does not run the .pth files of the folder it names: the editable link stays unseen.
    (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_resources_and_the_notice(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "mseg_studio/resources/taxonomies/universal.yaml" in names
    assert "mseg_studio/resources/taxonomies/NOTICE.md" in names
    assert {"mseg_studio/resources/links/NOTICE.md", "mseg_studio/resources/links/scannet-37.yaml"} <= names
    assert "mseg_studio/resources/models/street-small/weights.safetensors" in names
    assert not [name for name in names if name.startswith(("tests/", "resources/"))]


def test_help_and_place(environment: Path, tmp_path: Path) -> None:
    text = _studio(environment, tmp_path, "--help")
    assert "segment" in text and "taxonomy" in text
    where = _run([str(environment), "-c", "import mseg_studio; print(mseg_studio.__file__)"], cwd=tmp_path)
    assert str(_ROOT) not in where


def test_segments_an_image(environment: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    _studio(environment, tmp_path, "segment", "a.png", "--output", "out", "--taxonomy", "camvid-11", "--recipe", "fast")
    labels = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape[:2] == (90, 160)
    sidecar = json.loads((tmp_path / "out" / "a.json").read_text())
    assert sidecar["taxonomy"] == "camvid-11" and sidecar["model"]["name"] == "street-small"


def test_opens_the_window(environment: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 160, 3), 128, np.uint8))
    _studio(environment, tmp_path, "gui", "a.png", "--screenshot", "window.png")
    assert cv2.imread(str(tmp_path / "window.png")).shape[0] > 400


def _studio(python: Path, folder: Path, *arguments: str) -> str:
    return _run([str(python), "-m", "mseg_studio", *arguments], cwd=folder)


def _run(command: list[str], *, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout
