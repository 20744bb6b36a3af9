"""Files are old or new, never half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mseg_studio.storage import atomic_path, is_leftover, sha256_file, write_atomic, write_json_atomic


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, {"ü": 1})
    write_json_atomic(path, {"ü": 2})
    assert path.read_text(encoding="utf-8") == '{\n "ü": 2\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.mp4") as temporary:
        assert temporary.suffix == ".mp4" and temporary.parent == tmp_path and is_leftover(temporary)
        temporary.write_bytes(b"x")


@pytest.mark.skipif(os.name != "posix", reason="kills with a POSIX signal")
def test_sigkill_at_any_moment_leaves_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    old, new = b"a" * 4_000_000, b"b" * 4_000_000
    code = (
        "import sys, pathlib; from mseg_studio.storage import write_atomic\n"
        "path = pathlib.Path(sys.argv[1]); print('up', flush=True)\n"
        "for n in range(100000): write_atomic(path, (b'a', b'b')[n % 2] * 4000000)"
    )
    write_atomic(path, old)
    for round_number in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 + 0.013 * round_number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert path.read_bytes() in (old, new)
    for leftover in tmp_path.iterdir():
        assert leftover == path or is_leftover(leftover)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_name_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    path, name = tmp_path / "value.json", os.fsdecode(b"caf\xe9.png")
    write_json_atomic(path, {"image": name})
    assert json.loads(path.read_text(encoding="utf-8")) == {"image": name}
