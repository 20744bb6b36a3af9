"""`mseg-studio taxonomy lint`, `subset` and `import`; `show` of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mseg_studio.cli.main import main
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.catalog import default_catalog
from tests.taxonomy.test_lint import MASTER, PAIRS, YAML


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "robot.csv"
    path.write_text(PAIRS)
    return path


def test_lint_of_clean_and_broken_files(tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "lint", str(table), "camvid-11"]) == 0
    shipped = resource_folder("taxonomies") / "camvid-11.yaml"
    assert capsys.readouterr().out == f"{table}: clean\n{shipped}: clean\n"
    bad = tmp_path / "bad.csv"
    bad.write_text("class,universal\npeople,persn\nway ,road\n")
    assert main(["taxonomy", "lint", str(table), str(bad)]) == 1
    assert capsys.readouterr().out == (
        f"{table}: clean\n"
        f"{bad}: row 2, column universal class: taxonomy 'universal' has no class 'persn'; "
        "did you mean person, paper, poster?\n"
        f"{bad}: row 3, column class: warning: 'way ' has white space around it\n"
    )


def test_warnings_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("way ,road\n")
    assert main(["taxonomy", "lint", str(path), "--json"]) == 0
    finding, summary = rows(capsys.readouterr().out)
    assert finding == {
        "file": str(path),
        "row": 1,
        "column": "class",
        "severity": "warning",
        "code": "white space",
        "message": "'way ' has white space around it",
    }
    assert summary == {"summary": {"done": 1, "skipped": 0, "failed": 0}}


def test_lint_reads_a_broken_taxonomy_of_ones_own_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    path = user_folder("taxonomies") / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(YAML.replace("[4, 5, 6]", "[4, 5]"))
    assert main(["taxonomy", "lint", "mine"]) == 1
    out = capsys.readouterr().out
    assert out == f"{path}: row 6, column rgb: rgb is a list of 2, expected three numbers 0 to 255\n"


@pytest.mark.parametrize("action", ["lint", "import"])
def test_a_missing_file_is_a_usage_error(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", action, "nowhere.tsv"]) == 2
    assert capsys.readouterr().err.startswith("mseg-studio: error: nowhere.tsv: no such file")


def test_subset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "subset", "people", "--classes", "parent:person,road", "car", "--rest", "other"]) == 0
    path = user_folder("taxonomies") / "people.yaml"
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{path}: 7 classes (exact)"
    assert out.splitlines()[-1] == "    6  other  <- backpack, umbrella, bag, tie, suitcase, case and 182 more"
    names = ("person", "rider_other", "bicyclist", "motorcyclist", "road", "car", "other")
    assert default_catalog().taxonomy("people").names == names
    assert main(["taxonomy", "subset", "people", "--classes", "road"]) == 1
    assert capsys.readouterr().err == (
        f"mseg-studio: error: {path}: is there already; choose another name, or add --replace\n"
    )
    assert main(["taxonomy", "subset", "people", "--classes", "road", "--replace"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no target: 193 of 194 universal classes"


def test_subset_of_another_as_json_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.yaml"
    arguments = ["--from", "cityscapes-19", "--classes", "rider,road", "--output", str(path), "--json"]
    assert main(["taxonomy", "subset", "two", *arguments]) == 0
    (entry,) = rows(capsys.readouterr().out)
    assert (entry["name"], entry["file"], entry["num_classes"], entry["links"]) == ("two", str(path), 2, "exact")
    assert entry["classes"][0] == {
        "id": 0,
        "name": "rider",
        "rgb": [255, 0, 0],
        "universal": ["rider_other", "bicyclist", "motorcyclist"],
    }
    assert len(entry["left_out"]) == 190
    assert not user_folder("taxonomies").exists()
    assert main(["taxonomy", "show", str(path)]) == 0
    assert "    0  #ff0000  rider  <- rider_other, bicyclist, motorcyclist" in capsys.readouterr().out


def test_sixty_four_classes_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "classes, mine.txt"
    names = default_catalog().taxonomy("universal").names[:64]
    listed.write_text("\n".join(names))
    assert main(["taxonomy", "subset", "sixty-four", "--classes", f"@{listed}"]) == 0
    assert default_catalog().taxonomy("sixty-four").names == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["few", "--classes", "persn"], "taxonomy 'universal' has no class 'persn'; did you mean person"),
        (["few", "--from", "camvid", "--classes", "Sky"], "unknown taxonomy 'camvid'; did you mean camvid-"),
        (
            ["few", "--from", "camvid-32", "--classes", "Sky"],
            "no links lead from the universal taxonomy to 'camvid-32'",
        ),
        (["a/b", "--classes", "sky"], "a taxonomy cannot be called 'a/b': it is a file name, without /"),
        (["few", "--classes", "sky", "--output", "x.yaml"], "--output: expected a file called 'few.yaml'"),
    ],
)
def test_subsets_that_cannot_be(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "subset", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"mseg-studio: error: {message}")
    assert not user_folder("taxonomies").exists()


def test_import(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "import", str(table)]) == 0
    path = user_folder("taxonomies") / "robot.yaml"
    assert capsys.readouterr().out == f"{path}: 2 classes (exact)\n"
    assert main(["taxonomy", "import", str(table), "--name", "rover", "--json"]) == 0
    entry, summary = rows(capsys.readouterr().out)
    assert entry == {"name": "rover", "file": str(path.with_name("rover.yaml")), "num_classes": 2, "links": "exact"}
    assert summary == {"summary": {"done": 1, "skipped": 0, "failed": 0}}
    assert main(["taxonomy", "import", str(table)]) == 1
    err = capsys.readouterr().err
    assert err == f"mseg-studio: error: {path}: is there already; choose another name, or add --replace\n"
    assert main(["taxonomy", "import", str(table), "--replace"]) == 0


def test_import_tells_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(MASTER.replace("\troad\t", "\traod\t").replace("Cyclist\t", "Cyclist\t\t"), newline="")
    assert main(["taxonomy", "import", str(path), "--column", "mine"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"mseg-studio: error: {path}: row 3: has 6 cells, expected 5 as in the header",
        f"mseg-studio: error: {path}: row 4, column universal: taxonomy 'universal' has no class 'raod'; "
        "did you mean road, railroad, range_hood?",
    ]
    assert main(["taxonomy", "import", str(path), "--json"]) == 1
    *findings, summary = rows(capsys.readouterr().out)
    assert [(finding["row"], finding["code"]) for finding in findings] == [(3, "cells"), (4, "unknown class")]
    assert summary == {"summary": {"done": 0, "skipped": 0, "failed": 1}}


def test_import_of_one_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(MASTER, newline="")
    assert main(["taxonomy", "import", str(path), "--column", "mine", "--name", "robot"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{user_folder('taxonomies') / 'robot.yaml'}: 2 classes (exact)\n"
    assert all(": warning: " in line for line in err.splitlines())
    assert default_catalog().problems() == ()


@pytest.mark.parametrize(
    ("action", "name", "message"),
    [
        ("show", "nowhere.yaml", "nowhere.yaml: no such file"),
        ("show", "folder.yaml", "folder.yaml: expected a file"),
        ("show", "table.csv", "unknown taxonomy 'table.csv'"),
        ("show", "scannet-37", "'scannet-37' has links and no published ids; `taxonomy map` shows its links"),
        ("import", "folder.yaml", "folder.yaml: expected a file"),
    ],
)
def test_what_is_no_file_of_a_taxonomy(
    action: str, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "table.csv").write_text(PAIRS)
    assert main(["taxonomy", action, name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"mseg-studio: error: {message}")


def test_one_class_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "subset", "one", "--classes", "sky"]) == 0
    assert ": 1 class (exact)\n" in capsys.readouterr().out
    assert main(["taxonomy", "show", "one"]) == 0
    assert capsys.readouterr().out.startswith("one  1 class; ")
