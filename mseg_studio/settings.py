"""Where files live, and the settings a person can change."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import platformdirs
import yaml

from mseg_studio.errors import ConfigError, nearest
from mseg_studio.plain_yaml import parse_yaml
from mseg_studio.storage import write_atomic

_APP = "mseg-studio"
_KINDS = {str: "text", int: "a whole number", float: "a number", tuple: "a list of texts"}


def resource_folder(name: str) -> Path:
    """Folder `name` of the shipped resources: inside the package when installed, beside it in a checkout.

    Raises ConfigError when neither has it (a damaged installation).
    """
    package = Path(__file__).parent
    for folder in (package / "resources" / name, package.parent / "resources" / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the installation is damaged: no resources/{name}", path=package)


def user_folder(kind: str) -> Path:
    """The user's folder for `kind` (models, taxonomies, cache, config): MSEG_STUDIO_HOME or the platform's own place.

    The folder need not exist yet.
    """
    home = os.environ.get("MSEG_STUDIO_HOME")
    if home:
        return Path(home) / kind
    if kind == "config":
        return Path(platformdirs.user_config_dir(_APP, appauthor=False))
    if kind == "cache":
        return Path(platformdirs.user_cache_dir(_APP, appauthor=False))
    return Path(platformdirs.user_data_dir(_APP, appauthor=False)) / kind


def check_device(name: str) -> None:
    """Raise ConfigError unless `name` is the name of a device; whether it is there is another question."""
    if not re.fullmatch("auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise ConfigError(f"device is '{name}', expected auto, cpu, cuda, cuda:N or mps")


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What a person can change; the file holds only what differs from these defaults."""

    theme: str = "system"
    """Colour scheme of the window: system, light or dark."""
    model: str = "street-small"
    """Model that is chosen when the program starts."""
    taxonomy: str = "universal"
    """Output taxonomy that is chosen when the program starts."""
    recipe: str = "balanced"
    """Recipe preset that is chosen when the program starts."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    engine: str = "auto"
    """What runs the network in the window: auto, torch or openvino."""
    precision: Literal["auto", "float32", "half", "int8"] = "auto"
    """Number format of the network in the window: auto, float32, half or int8."""
    threads: int = 0
    """Threads of the inference process; 0 lets the program choose (`inference.openmp`)."""
    opacity: float = 0.5
    """Opacity of the label overlay, 0 to 1."""
    recent: tuple[str, ...] = ()
    """Paths opened lately, newest first."""

    def __post_init__(self) -> None:
        choices = {
            "theme": ("system", "light", "dark"),
            "recipe": ("live", "fast", "balanced", "paper"),
            "engine": ("auto", "torch", "openvino"),
            "precision": ("auto", "float32", "half", "int8"),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(f"setting {field} is '{getattr(self, field)}', expected one of {', '.join(allowed)}")
        if not 0 <= self.opacity <= 1:
            raise ConfigError(f"setting opacity is {self.opacity}, expected 0 to 1")
        if self.threads < 0:
            raise ConfigError(f"setting threads is {self.threads}, expected 0 or more")
        check_device(self.device)


def settings_file() -> Path:
    """The YAML file of the user's settings; it need not exist."""
    return user_folder("config") / "settings.yaml"


def load_settings() -> AppSettings:
    """The user's settings. Raises ConfigError naming the file and the key that is wrong."""
    path = settings_file()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return AppSettings()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path=path) from error
    raw = parse_yaml(data, path)
    if raw is None:
        return AppSettings()
    if not isinstance(raw, dict):
        raise ConfigError("expected `setting: value` lines", path=path)
    return _from_mapping(raw, path)


def save_settings(settings: AppSettings) -> None:
    """Write what differs from the defaults, atomically. Raises OSError."""
    path = settings_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    default = AppSettings()
    changed: dict[str, Any] = {"format": 1}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(default, field.name):
            changed[field.name] = list(value) if isinstance(value, tuple) else value
    write_atomic(path, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True).encode())


def _from_mapping(raw: dict[str, Any], path: Path) -> AppSettings:
    if raw.pop("format", 1) != 1:
        raise ConfigError("written by a newer MSeg Studio (format is not 1)", path=path)
    fields = {field.name: field for field in dataclasses.fields(AppSettings)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise ConfigError(f"unknown setting '{key}'{nearest(str(key), fields)}", path=path)
        default = getattr(AppSettings(), key)
        if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = tuple(value)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise ConfigError(f"setting {key} is {repr(value)[:80]}, expected {_KINDS[type(default)]}", path=path)
        values[key] = value
    try:
        return AppSettings(**values)
    except ConfigError as error:
        raise ConfigError(error.reason, path=path) from error


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
