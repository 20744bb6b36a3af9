"""`mseg-studio taxonomy`."""

from __future__ import annotations

import json

import pytest

from mseg_studio.cli.main import main
from mseg_studio.settings import user_folder
from tests.taxonomy.published import SHIPPED
from tests.taxonomy.test_taxonomy_catalog import TWO


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "list"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["universal", *sorted(set(SHIPPED) - {"universal"})]
    assert "cityscapes-19                 19 classes; output of universal models (exact)" in out
    assert err == ""


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "list", "--json"]) == 0
    *entries, last = rows(capsys.readouterr().out)
    assert last == {"summary": {"done": len(SHIPPED), "skipped": 0, "failed": 0}}
    by_name = {entry["name"]: entry for entry in entries}
    assert by_name["ade20k-150"]["links"] == "approximate"
    assert by_name["pascal-context-460"]["ignore_id"] == 65535
    assert (by_name["camvid-32"]["is_output"], by_name["voc2012"]["is_output"]) == (False, True)


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "show", "cityscapes-19"]) == 0
    out = capsys.readouterr().out
    assert "    0  #804080  road" in out
    assert "   12  #ff0000  rider          <- rider_other, bicyclist, motorcyclist" in out
    assert main(["taxonomy", "show", "universal"]) == 0
    assert "   98  #804080  road                 ground; " in capsys.readouterr().out


def test_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "show", "voc2012", "--json"]) == 0
    (entry,) = rows(capsys.readouterr().out)
    assert entry["classes"][1] == {
        "id": 1,
        "name": "aeroplane",
        "rgb": [128, 0, 0],
        "parent": None,
        "wordnet": None,
        "aliases": [],
    }
    assert entry["from_universal"]["airplane"] == "aeroplane"
    assert (entry["to_universal"], entry["to"], entry["ignore_id"]) == (None, {}, 255)


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "show", "cityscape-19"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mseg-studio: error: unknown taxonomy 'cityscape-19'; did you mean cityscapes-19")
    assert err.count("\n") == 1


def test_a_broken_file_of_the_user_is_told_and_the_rest_listed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "people.yaml").write_text(TWO.format(name="people"))
    broken = folder / "broken.yaml"
    broken.write_text(TWO.format(name="other"))
    assert main(["taxonomy", "list"]) == 1
    out, err = capsys.readouterr()
    assert f"yours: {folder / 'people.yaml'}" in out
    assert len(out.splitlines()) == len(SHIPPED) + 1
    assert err == f"mseg-studio: error: {broken}: line 2: name is 'other', expected the file's name, 'broken'\n"
    assert main(["taxonomy", "show", "broken"]) == 1
    assert main(["taxonomy", "show", "people"]) == 0


def test_a_taken_name_is_told_and_the_shipped_one_listed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "voc2012.yaml").write_text(TWO.format(name="voc2012"))
    assert main(["taxonomy", "list"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(SHIPPED)
    assert err.startswith(f"mseg-studio: error: {folder / 'voc2012.yaml'}: ")
    assert err.count("\n") == 1
