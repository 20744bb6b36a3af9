"""Checks of the keys and values in a description: one line each, naming where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mseg_studio.errors import ConfigError, nearest


def mapping_of(
    raw: Any, where: str, *, allowed: Collection[str] | None = None, needed: Collection[str] = ()
) -> dict[Any, Any]:
    """`raw` when it is a mapping with these keys. Raises ConfigError."""
    if not isinstance(raw, dict):
        came = "nothing" if raw is None else shown(raw)
        raise ConfigError(f"{where}: expected `key: value` lines, got {came}")
    if allowed is not None:
        check_keys(raw, where, allowed=allowed, needed=needed)
    return raw


def check_keys(raw: Mapping[Any, Any], where: str, *, allowed: Collection[str], needed: Collection[str]) -> None:
    """Raise ConfigError for a key that is not allowed, with the nearest one, or one that is missing."""
    for key in raw:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(str(key), allowed)}")
    for key in needed:
        if key not in raw:
            raise ConfigError(f"{where}: '{key}' is missing")


def text_of(value: Any, where: str) -> str:
    """`value` when it is text. Raises ConfigError."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(f"{where} is {shown(value)}, expected text")
    return value


def texts_of(value: Any, where: str) -> tuple[str, ...]:
    """One text or a list of them. Raises ConfigError, also for an empty list."""
    if not isinstance(value, list):
        return (text_of(value, where),)
    if not value:
        raise ConfigError(f"{where} is an empty list, expected at least one")
    return tuple(text_of(item, f"{where}[{place}]") for place, item in enumerate(value))


def number_of(value: Any, where: str, largest: int) -> int:
    """`value` when it is a whole number from 0 to `largest`. Raises ConfigError."""
    if type(value) is not int or not 0 <= value <= largest:
        raise ConfigError(f"{where}: {shown(value)} is no whole number from 0 to {largest}")
    return value


def shown(value: Any) -> str:
    """`value` as it was written, cut to what fits into a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
