"""`mseg-studio doctor`: versions, devices, engines and folders, for a bug report."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from typing import Any

from mseg_studio import __version__
from mseg_studio.cli.command import OK, Command
from mseg_studio.cli.terminal import print_json
from mseg_studio.settings import resource_folder, settings_file, user_folder

_PACKAGES = (
    "torch",
    "numpy",
    "numba",
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

    from mseg_studio.inference.devices import resolve_precision

    versions = {"mseg-studio": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES}
    devices: dict[str, Any] = {"cpu": f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    precisions = (f"{resolve_precision('auto', torch.device(name))} on {name}" for name in devices)
    folders = {
        "resources": str(resource_folder("taxonomies").parent),
        "models": str(user_folder("models")),
        "taxonomies": str(user_folder("taxonomies")),
        "cache": str(user_folder("cache")),
        "settings": str(settings_file()),
        "python": sys.executable,
    }
    return {
        "versions": versions,
        "system": {"platform": platform.platform()},
        "devices": devices,
        "engines": {"torch": ", ".join(precisions)},
        "folders": folders,
    }


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
