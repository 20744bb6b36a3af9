from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mseg_studio.training import free_memory
from mseg_studio.training.free_memory import free_memory_bytes
from mseg_studio.training.sample_cache import default_cache_bytes

_MB = 1_000_000


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups; the machine itself has 1000 MB free."""
    monkeypatch.setattr(free_memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(free_memory, "_OWN_GROUPS", tmp_path / "own")
    memory = psutil.virtual_memory()._replace(available=1000 * _MB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    (tmp_path / "groups").mkdir()
    return tmp_path / "groups"


def _limit(folder: Path, limit: str, used: int, names: tuple[str, str] = ("memory.max", "memory.current")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")


def test_without_groups_it_is_the_machines(groups: Path) -> None:
    assert free_memory_bytes() == 1000 * _MB
    assert default_cache_bytes(2) == 125 * _MB


def test_the_tightest_group_counts(groups: Path) -> None:
    (groups.parent / "own").write_text("0::/slurm/job7/step0\n")
    _limit(groups / "slurm" / "job7" / "step0", "max", 10 * _MB)
    assert free_memory_bytes() == 1000 * _MB
    _limit(groups / "slurm" / "job7", str(300 * _MB), 100 * _MB)
    _limit(groups / "slurm", str(900 * _MB), 0)
    assert free_memory_bytes() == 200 * _MB
    _limit(groups / "slurm" / "job7", str(300 * _MB), 400 * _MB)
    assert free_memory_bytes() == 0


def test_copies_of_files_are_given_up(groups: Path) -> None:
    (groups.parent / "own").write_text("0::/\n")
    _limit(groups, str(500 * _MB), 400 * _MB)
    (groups / "memory.stat").write_text(f"anon {100 * _MB}\ninactive_file {300 * _MB}\n")
    assert free_memory_bytes() == 400 * _MB


def test_a_container_sees_its_own_limit_at_the_root(groups: Path) -> None:
    (groups.parent / "own").write_text("0::/../outside\n")
    _limit(groups, str(64 * _MB), 4 * _MB)
    assert free_memory_bytes() == 60 * _MB


def test_the_first_version_of_groups(groups: Path) -> None:
    (groups.parent / "own").write_text("3:cpu,cpuacct:/x\n5:memory:/slurm/job7\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    _limit(groups / "memory" / "slurm" / "job7", str(500 * _MB), 200 * _MB, names)
    _limit(groups / "memory", str(2**63 - 4096), 0, names)
    assert free_memory_bytes() == 300 * _MB


def test_on_this_machine() -> None:
    assert 0 < free_memory_bytes() <= psutil.virtual_memory().total
