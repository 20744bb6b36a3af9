"""The machine a number belongs to, and the most it can do: dense matrix products in the same process."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import torch

_GEMM_SIDE = 3072
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "amx_fp16")
_PACKAGES = ("torch", "openvino", "numba", "opencv-python-headless", "numpy")


def facts() -> dict[str, Any]:
    """What decides how fast anything is here: processor, cores, memory, GPUs and versions. Names no host."""
    cpu = _cpu_info()
    flags = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": cores(),
        "features": [name for name in _FEATURES if name in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def gemm_gflops(dtype: torch.dtype, *, side: int = _GEMM_SIDE, rounds: int = 3) -> float:
    """GFLOP/s of the best of some square matrix products with all threads: a practical limit, no theoretical one."""
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    out = torch.empty(side, side, dtype=dtype)
    torch.mm(a, b, out=out)
    best_s = min(_seconds(lambda: torch.mm(a, b, out=out)) for _ in range(rounds))
    return 2 * side**3 / best_s / 1e9


def peak_gb() -> float:
    """Most memory this process has held, in 10^9 bytes.

    Not `ru_maxrss` where there is better: on Linux that starts with what the parent held when it made the process.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024 / 1e9
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if platform.system() == "Darwin" else 1024) / 1e9


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
