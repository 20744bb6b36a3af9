from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mseg_studio.datasets.convert import convert, plan
from mseg_studio.datasets.label_format import LabelFormat
from mseg_studio.datasets.output_lock import LOCK_FILE, output_lock
from mseg_studio.errors import ExportError
from mseg_studio.labels.importer import ImportOptions, importer
from mseg_studio.taxonomy.catalog import default_catalog
from tests.datasets.test_remap import make_city, run


def write_lock(folder: Path, **values: object) -> None:
    own = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}
    folder.mkdir(exist_ok=True)
    (folder / LOCK_FILE).write_text(json.dumps({**own, **values}))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    with output_lock(folder):
        words = f"out: process {os.getpid()} writes into this folder"
        with pytest.raises(ExportError, match=words) as error, output_lock(folder):
            pass
        assert "\n" not in str(error.value)
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]
    assert list(folder.iterdir()) == []
    with output_lock(folder):
        pass


def test_remap_and_convert_wait_for_nobody(tmp_path: Path) -> None:
    """They stop before they touch what the other run made."""
    description = make_city(tmp_path / "city")
    run(description, tmp_path / "out")
    (tmp_path / "out" / ".mseg-part-under-way.png").write_bytes(b"x")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    taxonomy = default_catalog().taxonomy("cityscapes-34")
    tasks = plan([tmp_path / "city" / "gt"], tmp_path / "out", importer("ids"))
    with output_lock(tmp_path / "out"):
        with pytest.raises(ExportError, match="writes into this folder"):
            run(description, tmp_path / "out")
        with pytest.raises(ExportError, match="writes into this folder"):
            convert(tasks, LabelFormat("ids", ImportOptions(taxonomy)), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    assert run(description, tmp_path / "out").skipped == 8


def test_a_lock_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    write_lock(tmp_path, pid=int(child.stdout))
    with output_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    write_lock(tmp_path, started=psutil.Process().create_time() - 100)  # the number is another process's now
    with output_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"host": 1, "pid": -1, "started": 0}'])
def test_a_lock_that_says_nothing_counts_while_it_is_young(tmp_path: Path, text: str) -> None:
    path = tmp_path / LOCK_FILE
    path.write_text(text.replace("1, ", f'"{socket.gethostname()}", ', 1))
    os.utime(path, (time.time() - 60, time.time() - 60))
    with output_lock(tmp_path):
        pass
    path.write_text("")
    with pytest.raises(ExportError, match="another run writes"), output_lock(tmp_path):
        pass


def test_a_lock_of_another_computer_says_how_to_go_on(tmp_path: Path) -> None:
    write_lock(tmp_path, host="elsewhere", pid=7)
    with pytest.raises(ExportError, match=r"process 7 on elsewhere \(delete .mseg-lock here"), output_lock(tmp_path):
        pass
