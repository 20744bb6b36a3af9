"""The command line as a whole: exit codes and one-line errors."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys

import pytest

from mseg_studio.cli import main as cli
from mseg_studio.cli.command import Command, UsageError
from mseg_studio.cli.terminal import print_json
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


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("taxonmy", "'taxonmy' is neither a command nor a file or folder; did you mean taxonomy"),
        ("evalaute", "'evalaute' is neither a command nor a file or folder; did you mean evaluate?"),
        ("qqqqqq", "'qqqqqq' is neither a command nor a file or folder; known: "),
    ],
)
def test_a_mistyped_command_is_told(capsys: pytest.CaptureFixture[str], word: str, message: str) -> None:
    assert cli.main([word, "--json"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"mseg-studio: error: {message}") and err.count("\n") == 1


def test_two_plug_ins_of_one_name_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = importlib.metadata.EntryPoint("doctor", "mseg_studio.cli.doctor:COMMAND", "mseg_studio.commands")
    gone = importlib.metadata.EntryPoint("x", "no_such_package.x:COMMAND", "mseg_studio.commands")
    for entry, message in (
        (point, "two plug-ins are called 'doctor'; the second is in mseg_studio.cli.doctor:COMMAND"),
        (gone, "plug-in 'no_such_package.x:COMMAND' of mseg_studio.commands cannot be loaded: No module named"),
    ):
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group, entry=entry: [entry])
        assert cli.main(["doctor"]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"mseg-studio: error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_the_terminal_cannot_show(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    def run(_arguments: object) -> int:
        print("\udcff ü")
        print_json({"name": "\udcff ü"})
        return 0

    commands = {"try": Command("try", "a test", lambda parser: None, run)}
    monkeypatch.setattr(cli, "discover", lambda *_args, **_named: commands)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    assert cli.main(["try"]) == 0
    plain, as_json = raw.getvalue().decode(encoding).splitlines()
    assert plain == ("\\udcff ü" if encoding == "utf-8" else "\\udcff \\xfc")
    assert json.loads(as_json) == {"name": "\udcff ü"}


def test_messages_are_one_line_whatever_they_quote() -> None:
    error = ImageReadError("class 'a\nb' is \x1b[31mred", path="x\r.png")
    assert str(error) == "x\\r.png: class 'a\\nb' is \\x1b[31mred"


def test_printable_shows_control_characters_and_stray_bytes() -> None:
    assert printable("a\x1b[0m\udcff") == "a\\x1b[0m\\udcff"


def test_progress_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        Progress(-1, 3)


@pytest.mark.skipif(os.name != "posix", reason="closes streams with a POSIX shell")
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_no_failure(closed: str) -> None:
    command = f"'{sys.executable}' -m mseg_studio taxonomy list --json {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, timeout=60).returncode == 0


def test_json_nobody_reads_does_not_stop_the_work() -> None:
    code = (
        "import os, sys, time; from mseg_studio.cli.terminal import print_json\n"
        "for n in range(5): print_json([0] * 20000); time.sleep(0.05)\n"
        "sys.stderr.write('went on')"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stderr is not None
    writer.stdout.close()
    with writer.stderr:
        assert writer.stderr.read() == "went on"
    assert writer.wait(timeout=60) == 0
