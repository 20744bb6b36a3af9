"""What a command of the terminal is: one file in this folder defines one COMMAND."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mseg_studio.errors import MSegStudioError

OK, FAILED, USAGE, CANCELLED = 0, 1, 2, 130
"""Exit codes: all done, something failed, the command line is wrong, stopped by the person."""


class UsageError(MSegStudioError):
    """The command line asks for something that is not there: unknown names, missing inputs. Exit code 2."""


def require_file(path: Path) -> None:
    """Raise UsageError unless `path` is a file; a folder or a pipe is none."""
    if not path.is_file():
        raise UsageError("expected a file" if path.exists() else "no such file", path=path)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its arguments and what runs. Heavy imports belong inside `run`."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Gives the exit code; raises MSegStudioError for a failure, UsageError for a wrong command line."""
    example: str = ""
