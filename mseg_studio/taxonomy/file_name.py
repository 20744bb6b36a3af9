"""Names that a taxonomy of the user may have: they become file names on every system and words of a command line."""

from __future__ import annotations

from mseg_studio.errors import TaxonomyError, printable

MAX_LETTERS = 100
"""With `.yaml` and four bytes a letter this stays below what file systems take."""

_FORBIDDEN = '<>:"/\\|?*'
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")]
)
"""Windows gives these to devices, whatever follows the first dot."""


def check_taxonomy_name(name: str) -> None:
    """Raise TaxonomyError unless a taxonomy, and so its file, may be called `name`."""
    reason = _reason(name)
    if reason is not None:
        raise TaxonomyError(f"a taxonomy cannot be called '{printable(name[:MAX_LETTERS])}': {reason}")


def _reason(name: str) -> str | None:
    if not name:
        return "expected a name"
    if name != name.strip() or not name.isprintable():
        return "expected one line without outer white space"
    if len(name) > MAX_LETTERS or len(name.encode()) > 2 * MAX_LETTERS:
        return f"expected at most {MAX_LETTERS} letters"
    for letter in _FORBIDDEN:
        if letter in name:
            return f"it is a file name, without {letter}"
    if name[0] in ".-" or name[-1] == ".":
        return "expected no dot or hyphen at the start, no dot at the end"
    if name.split(".")[0].strip().lower() in _RESERVED:
        return "Windows keeps this name for a device"
    return None
