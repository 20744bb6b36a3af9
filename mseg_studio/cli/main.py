"""`mseg-studio`: find the command, run it, turn what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from mseg_studio import __version__
from mseg_studio.cli.command import CANCELLED, FAILED, OK, USAGE, Command, UsageError
from mseg_studio.discovery import discover
from mseg_studio.errors import ConfigError, MSegStudioError, nearest, printable
from mseg_studio.inference.openmp import wait_quietly
from mseg_studio.progress import Cancelled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (contracts.md: 0 good, 1 failed, 2 usage, 130 cancelled)."""
    _open_closed_streams()
    _print_anything()
    wait_quietly()
    try:
        commands = discover("mseg_studio.cli", "COMMAND", group="mseg_studio.commands")
        return _run(commands, _with_command(list(sys.argv[1:] if arguments is None else arguments), commands))
    except SystemExit as stop:  # argparse ends --help and usage errors this way
        return stop.code if isinstance(stop.code, int) else USAGE
    except (Cancelled, KeyboardInterrupt):
        _complain("cancelled")
        return CANCELLED
    except (UsageError, ConfigError) as error:
        _complain(f"error: {error}")
        return USAGE
    except MSegStudioError as error:
        _complain(f"error: {error}")
        return FAILED
    except BrokenPipeError:
        # Somebody closed stdout early (`| head`): what was asked for has been given.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        name = error.filename2 or error.filename
        where = f"{printable(os.fsdecode(name))}: " if name else ""
        _complain(f"error: {where}{error.strerror or error}")
        return FAILED


def _with_command(argv: list[str], commands: Collection[str]) -> list[str]:
    """`mseg-studio photo.jpg` opens the window. Raises UsageError for a word that is neither a command nor a file."""
    if argv and (argv[0] in commands or argv[0] in ("-h", "--help", "--version")):
        return argv
    if argv and argv[0].isidentifier() and not Path(argv[0]).exists():
        raise UsageError(f"'{argv[0]}' is neither a command nor a file or folder{nearest(argv[0], commands)}")
    return ["gui", *argv]


def _open_closed_streams() -> None:
    """With stdout or stderr closed at the start (`2>&-`) Python has None there, and a file opened next would be it."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def _print_anything() -> None:
    """A class or file name that the terminal's encoding lacks is shown escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _run(commands: dict[str, Command], argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="mseg-studio",
        description="Segment images and video in one label space, see them in any dataset's own.",
        epilog="`mseg-studio PATH` opens the window on an image, folder or video.",
    )
    parser.add_argument("--version", action="version", version=f"mseg-studio {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands.values():
        epilog = f"example: {command.example}" if command.example else None
        part = choices.add_parser(command.name, help=command.help, description=command.help, epilog=epilog)
        command.add_arguments(part)
        part.set_defaults(run=command.run)
    namespace = parser.parse_args(argv)
    code: int = namespace.run(namespace)
    return code


def _complain(text: str) -> None:
    print(f"mseg-studio: {text}", file=sys.stderr)
