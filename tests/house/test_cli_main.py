"""The command line as a whole: exit codes and one-line errors."""

from __future__ import annotations

import pytest

from mseg_studio.cli import main as cli
from mseg_studio.cli.command import Command, UsageError
from mseg_studio.errors import ExportError, ImageReadError, printable
from mseg_studio.progress import Cancelled, Progress


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (None, 0, ""),
        (ImageReadError("is empty", path="a.png"), 1, "mseg-studio: error: a.png: is empty\n"),
        (ExportError("disk is full", path="a\nb"), 1, "mseg-studio: error: a\\nb: disk is full\n"),
        (UsageError("no such file", path="a.png"), 2, "mseg-studio: error: a.png: no such file\n"),
        (PermissionError(13, "Permission denied", "out"), 1, "mseg-studio: error: out: Permission denied\n"),
        (Cancelled(), 130, "mseg-studio: cancelled\n"),
        (KeyboardInterrupt(), 130, "mseg-studio: cancelled\n"),
    ],
)
def test_what_went_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: BaseException | None,
    code: int,
    message: str,
) -> None:
    def run(_arguments: object) -> int:
        if failure is not None:
            raise failure
        return 0

    commands = {"try": Command("try", "a test", lambda parser: None, run)}
    monkeypatch.setattr(cli, "discover", lambda *_args, **_named: commands)
    assert cli.main(["try"]) == code
    assert capsys.readouterr().err == message


def test_a_defect_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_arguments: object) -> int:
        raise ZeroDivisionError

    commands = {"try": Command("try", "a test", lambda parser: None, run)}
    monkeypatch.setattr(cli, "discover", lambda *_args, **_named: commands)
    with pytest.raises(ZeroDivisionError):
        cli.main(["try"])


@pytest.mark.parametrize("arguments", [["--nonsense"], ["doctor", "--nonsense"], ["segment"]])
def test_usage_errors_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_printable_shows_control_characters_and_stray_bytes() -> None:
    assert printable("a\x1b[0m\udcff") == "a\\x1b[0m\\udcff"


def test_progress_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        Progress(-1, 3)
