"""`mseg-studio doctor`: versions, devices, engines and folders, for a bug report."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from mseg_studio import __version__
from mseg_studio.cli.command import OK, Command
from mseg_studio.cli.terminal import print_json
from mseg_studio.errors import printable
from mseg_studio.settings import resource_folder, settings_file, user_folder

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "torch",
    "numpy",
    "numba",
    "nncf",
    "openvino",
    "opencv-python-headless",
    "PySide6-Essentials",
    "av",
    "h5py",
    "safetensors",
    "pyqtgraph",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    facts = _facts()
    if arguments.json:
        print_json(facts)
        return OK
    for title, values in facts.items():
        print(title)
        for key, value in values.items():
            print(f"  {key:24} {value}")
    return OK


def _facts() -> dict[str, dict[str, Any]]:
    import torch

    from mseg_studio.inference.cpu_features import cpu_features
    from mseg_studio.inference.devices import resolve_device

    versions = {"mseg-studio": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES}
    features = " ".join(cpu_features()) or torch.backends.cpu.get_cpu_capability()
    devices: dict[str, Any] = {"cpu": f"{os.cpu_count()} cores, {features}"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    auto = {name: _chosen(torch.device(name)) for name in devices}
    folders = {
        "resources": str(resource_folder("taxonomies").parent),
        "models": str(user_folder("models")),
        "taxonomies": str(user_folder("taxonomies")),
        "datasets": str(user_folder("datasets")),
        "cache": str(user_folder("cache")),
        "settings": str(settings_file()),
        "python": sys.executable,
    }
    return {
        "versions": versions,
        "system": {"platform": platform.platform()},
        "devices": devices,
        "engines": {"torch": _version("torch"), "openvino": _openvino()},
        "auto": {"device": str(resolve_device("auto")), **auto},
        "folders": folders,
    }


def _chosen(device: torch.device) -> str:
    """What engine and precision `auto` mean on `device`."""
    from mseg_studio.inference.devices import resolve_precision
    from mseg_studio.inference.engine_choice import resolve_engine

    precision = resolve_precision("auto", device)
    return f"{resolve_engine('auto', device, precision)}, {precision}"


def _openvino() -> str:
    """Its version, and why it cannot be used where that is so."""
    from mseg_studio.inference import openvino_runtime

    if not openvino_runtime.is_installed():
        return "not installed"
    try:
        half = "half" if openvino_runtime.multiplies_bfloat16() else "no half"
    except (ImportError, RuntimeError) as error:
        return f"{openvino_runtime.version()}, does not start: {printable(str(error))[:200]}"
    return f"{openvino_runtime.version()}, float32, {half}, int8 {'with' if _has_nncf() else 'needs'} nncf"


def _has_nncf() -> bool:
    return importlib.util.find_spec("nncf") is not None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


COMMAND = Command(
    name="doctor",
    help="versions, devices, engines and folders, for a bug report",
    add_arguments=_add_arguments,
    run=_run,
    example="mseg-studio doctor --json",
)
