"""`mseg-studio`: find the command, run it, turn what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mseg_studio import __version__
from mseg_studio.cli.command import CANCELLED, FAILED, OK, USAGE, Command, UsageError
from mseg_studio.discovery import discover
from mseg_studio.errors import ConfigError, MSegStudioError, printable
from mseg_studio.progress import Cancelled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (contracts.md: 0 good, 1 failed, 2 usage, 130 cancelled)."""
    commands = discover("mseg_studio.cli", "COMMAND", group="mseg_studio.commands")
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or (argv[0] not in commands and argv[0] not in ("-h", "--help", "--version")):
        argv.insert(0, "gui")  # `mseg-studio photo.jpg` opens the window
    try:
        return _run(commands, argv)
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
