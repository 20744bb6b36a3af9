"""A folder that label files are written into: held by one run, nobody else's files in it, and what is done known."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from mseg_studio.datasets.output_lock import output_lock
from mseg_studio.datasets.remap_state import STATE_FILE, RemapState
from mseg_studio.errors import ExportError
from mseg_studio.labels.export_errors import export_errors
from mseg_studio.storage import is_leftover

DESCRIPTION_FILE = "dataset.yaml"
"""The description of the labels, beside them."""


@contextlib.contextmanager
def opened_output(output: Path, files: Collection[Path], *, forget: bool = False) -> Iterator[RemapState]:
    """Make the folders of `files`, all below `output`, hold `output` alone and give the record of what is done there.

    With `forget` nothing counts as done, and files are replaced whoever made them. Raises ExportError when another run
    holds the folder, or something lies there that no earlier run made.
    """
    with output_lock(output):
        if not forget and not (output / STATE_FILE).exists():
            for path in (output / DESCRIPTION_FILE, *files):
                if path.exists():
                    raise ExportError("is there already, and not from an earlier run; choose another folder", path=path)
        for folder in sorted({output, *(path.parent for path in files)}):
            with export_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for path in folder.iterdir():
                    if is_leftover(path):
                        path.unlink(missing_ok=True)
        with export_errors(output / STATE_FILE):
            state = RemapState(output, forget=forget)
        try:
            yield state
        finally:
            state.close()
