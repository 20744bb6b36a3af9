"""A guard against the wheels of PySide6 6.12.0 on Python 3.10 and 3.11.

They are built as if `None`, `True` and `False` were immortal, which they are from Python 3.12 on: calls give them back
without owning a reference. Every `Signal.emit` costs `True` one, every method without a result costs `None` one, and
after some hundred or thousand calls the interpreter aborts ("bool_dealloc: deallocating True or False"). Measured with
`sys.getrefcount` around the calls. So they are given more references here than any session uses up.
"""

from __future__ import annotations

import ctypes
import sys

_MANY = 1 << 40


def keep_singletons_alive() -> None:
    """Make `None`, `True` and `False` outlive the process; does nothing where they do already. Safe to call again."""
    if sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return
    for value in (None, True, False):
        if sys.getrefcount(value) < _MANY // 2:
            # The reference count is the first field of an object.
            ctypes.c_ssize_t.from_address(id(value)).value += _MANY
