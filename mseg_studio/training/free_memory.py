"""How much memory this process may still take: a cluster's job and a container often have less than the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Limit and use in bytes, of the second and the first version of control groups."""


def free_memory_bytes() -> int:
    """What is free on the machine, or in the tightest of the control groups that this process is in."""
    free = int(psutil.virtual_memory().available)
    for folder in _group_folders():
        for limit, used in _FILES:
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit here
                taken = _number(folder / used) - _droppable(folder)
                free = min(free, max(0, _number(folder / limit) - max(0, taken)))
    return free


def _droppable(folder: Path) -> int:
    """Copies of files that a group holds and gives up for whoever needs the memory."""
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        values = dict(line.split() for line in lines)
        return int(values.get("total_inactive_file", values.get("inactive_file", "0")))
    return 0


def _group_folders() -> list[Path]:
    """The folders of the groups that may limit memory, and of all groups around them; none outside of Linux."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = [_GROUPS, _GROUPS / "memory"]  # in a container the paths below are often those of outside
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _GROUPS / "memory" if controllers else _GROUPS
        inside = Path(path.lstrip("/"))
        found += [root / part for part in (inside, *inside.parents)]
    return list(dict.fromkeys(found))


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))
