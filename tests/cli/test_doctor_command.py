"""`mseg-studio doctor`: everything that a bug report needs, on any machine."""

from __future__ import annotations

import json
import os

import pytest

from mseg_studio import __version__
from mseg_studio.cli.main import main


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts) == ["versions", "system", "devices", "engines", "auto", "folders"]
    assert facts["versions"]["mseg-studio"] == __version__
    missing = {name for name, version in facts["versions"].items() if version == "not installed"}
    assert missing <= {"openvino", "nncf"}  # there are machines without wheels
    assert facts["engines"]["torch"] == facts["versions"]["torch"]
    assert facts["engines"]["openvino"].startswith(facts["versions"]["openvino"])
    assert facts["auto"]["cpu"] in ("openvino, half", "openvino, float32", "torch, float32")
    assert facts["folders"]["models"].startswith(os.environ["MSEG_STUDIO_HOME"])


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "versions",
        "system",
        "devices",
        "engines",
        "auto",
        "folders",
    ]
    assert err == ""


def test_a_home_of_stray_bytes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.fsdecode(b"/tmp/h\xff")
    monkeypatch.setenv("MSEG_STUDIO_HOME", home)
    assert main(["doctor"]) == 0
    assert "/tmp/h\\udcff/models" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folders"]["models"] == f"{home}/models"
