"""What the command line asks of the window, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mseg_studio.cli.main import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class", "bicyclst"], "has no class 'bicyclst'; did you mean bicyclist"),
        (["--pair", "camvid-11", "nowhere"], "unknown taxonomy 'nowhere'"),
        (["--workspace", "kitchen"], "invalid choice: 'kitchen'"),
        (["--run", "nowhere"], "no run is called 'nowhere'"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "window.png"
    assert main(["gui", *words, "--screenshot", str(picture)]) == 2
    assert message in capsys.readouterr().err and not picture.exists()
