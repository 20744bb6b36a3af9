"""OpenVINO, imported in one place: only where it is needed, and without its telemetry."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from typing import Any


def is_installed() -> bool:
    """Whether OpenVINO is there; it is not imported for the answer."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """Version of the installed package, empty when there is none."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def openvino() -> Any:
    """The module `openvino`. Raises ImportError.

    Importing it would report to its makers over the network; without the package for that it cannot. The same holds
    for NNCF, which must be imported after this call.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    return importlib.import_module("openvino")


@functools.cache
def core() -> Any:
    """OpenVINO's Core, one a process. Raises ImportError."""
    return openvino().Core()


def multiplies_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU. Raises ImportError."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_identity() -> str:
    """What a compiled model depends on besides its network: the processor and what it can do. Raises ImportError."""
    capabilities = sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return f"{core().get_property('CPU', 'FULL_DEVICE_NAME')} {' '.join(capabilities)}"
