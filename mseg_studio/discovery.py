"""Find the plug-ins of a package: every module in it that defines one named object."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from typing import Any

from mseg_studio.errors import ConfigError


def discover(package: str, attribute: str, *, group: str | None = None) -> dict[str, Any]:
    """Objects called `attribute` in the modules of `package`, by their `.name`, in module order.

    Modules without the attribute are skipped. `group` adds entry points of other installed packages.
    Raises ConfigError when two plug-ins carry one name, or when that of another package cannot be imported.
    """
    found: dict[str, Any] = {}
    folder = importlib.import_module(package)
    for module_info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{module_info.name}")
        if hasattr(module, attribute):
            _add(found, getattr(module, attribute), module.__name__)
    if group is not None:
        for point in importlib.metadata.entry_points(group=group):
            try:
                _add(found, point.load(), point.value)
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"plug-in '{point.value}' of {group} cannot be loaded: {error}") from error
    return found


def _add(found: dict[str, Any], plugin: Any, where: str) -> None:
    if plugin.name in found:
        raise ConfigError(f"two plug-ins are called '{plugin.name}'; the second is in {where}")
    found[plugin.name] = plugin
