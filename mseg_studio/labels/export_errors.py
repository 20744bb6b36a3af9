"""What goes wrong while writing, in one line that names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mseg_studio.errors import ExportError, MSegStudioError
from mseg_studio.media.regular_file import reason_of


@contextlib.contextmanager
def export_errors(path: Path) -> Iterator[None]:
    """Turn OSError, and the RuntimeError that HDF5 uses for the same, into ExportError about `path`."""
    try:
        yield
    except MSegStudioError:
        raise
    except (OSError, RuntimeError) as error:
        raise ExportError(f"cannot be written: {' '.join(reason_of(error).split())}", path=path) from error
