"""YAML that people write by hand: no key twice, and lists such as colours may be keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mseg_studio.errors import ConfigError

MAX_BYTES = 16 << 20


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (PyYAML keeps the last) and reads `[r, g, b]: name`."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            # A few lines of nested aliases can describe gigabytes.
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise _LineError(line, "aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list):
                key = tuple(key)
            line = key_node.start_mark.line + 1
            try:
                twice = key in found
            except TypeError as error:
                raise _LineError(line, f"{key!r} cannot be a key") from error
            if twice:
                raise _LineError(line, f"'{key}' is given twice")
            found[key] = self.construct_object(value_node, deep=deep)
        return found


class _LineError(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


def load_yaml(path: Path) -> Any:
    """The content of a YAML file as plain values. Raises ConfigError, one line, naming the file and the line."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{len(data)} bytes are more than a description has", path=path)
        loader = _StrictLoader(data.decode("utf-8-sig"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except FileNotFoundError as error:
        raise ConfigError("no such file", path=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise ConfigError(f"not YAML: {line}{error.problem or error.context}", path=path) from error
    except (_LineError, RecursionError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}", path=path) from error
