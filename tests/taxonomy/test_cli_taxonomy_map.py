"""`mseg-studio taxonomy map` and `taxonomy export`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from mseg_studio.cli.main import main
from mseg_studio.settings import user_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.master import master_table
from tests.taxonomy.published import SHIPPED, ids
from tests.taxonomy.test_taxonomy_catalog import TWO


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["taxonomy", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def failed(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(["taxonomy", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_json_has_the_promised_keys_first(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "map", "cityscapes-34", "cityscapes-19", "--json")
    assert text.count("\n") == 1
    value = json.loads(text)
    assert list(value)[:4] == ["source", "target", "links", "unmapped"]
    assert (value["source"], value["target"]) == ("cityscapes-34", "cityscapes-19")
    assert value["links"][0] == ["road", "road"]
    assert len(value["links"]) == 19
    assert value["unmapped"][0] == "unlabeled"
    assert len(value["unmapped"]) == 15
    assert (value["through"], value["quality"], value["coverage"]) == (None, "exact", 19 / 34)


@pytest.mark.parametrize("target", ["voc2012", "pascal-context-60", "ade20k-150", "wilddash-19"])
def test_json_is_the_projection(capsys: pytest.CaptureFixture[str], catalog: Catalog, target: str) -> None:
    value = json.loads(run(capsys, "map", "universal", target, "--json"))
    projection = catalog.projection("universal", target)
    assert dict(value["links"]) == ids(projection)
    assert value["unmapped"] == [projection.source.classes[place].name for place in projection.unmapped]


def test_composed_links_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    value = json.loads(run(capsys, "map", "cityscapes-19", "camvid-11", "--json"))
    assert (value["through"], value["quality"]) == ("universal", "approximate")
    assert value["merges"] == {"Bicyclist": ["rider", "bicycle"]}
    out = run(capsys, "map", "cityscapes-19", "camvid-11")
    assert out.splitlines()[0] == (
        "cityscapes-19 -> camvid-11: 12 of 19 classes have a target; approximate, "
        "composed through universal: no links of its own are published"
    )


def test_text_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "map", "universal", "pascal-context-60").splitlines()
    assert lines[0] == "universal -> pascal-context-60: 194 of 194 classes have a target; exact"
    assert lines[-1] == "never reached (2): flower, wood"
    lines = run(capsys, "map", "cityscapes-19", "universal").splitlines()
    assert "  rider -> rider_other, bicyclist, motorcyclist" in lines
    assert not [line for line in lines if line.startswith("no target")]
    lines = run(capsys, "map", "nyudepthv2-37", "voc2012").splitlines()
    assert "no target (1): table" in lines


def test_unknown_names_and_missing_links(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown taxonomy 'camvid-1'; did you mean camvid-11" in failed(capsys, 2, "map", "universal", "camvid-1")
    assert "did you mean scannet-37" in failed(capsys, 2, "map", "scannet37", "universal")
    message = failed(capsys, 1, "map", "voc2012", "universal")
    assert message.endswith(
        "'voc2012' to 'universal', only the other way: mseg-studio taxonomy map universal voc2012\n"
    )
    assert failed(capsys, 1, "map", "voc2012", "camvid-11").endswith("'voc2012' to 'camvid-11'\n")


def test_a_broken_file_of_the_user_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text(TWO.format(name="other"))
    assert "broken.yaml: line 2: name is 'other'" in failed(capsys, 1, "map", "universal", "broken")


def test_the_whole_table_as_csv(capsys: pytest.CaptureFixture[str], catalog: Catalog) -> None:
    header, *rows, last = csv.reader(io.StringIO(run(capsys, "export")))
    table = master_table(catalog)
    assert header == ["id", "universal", "parent", "wordnet", "aliases", *(column.name for column in table.columns)]
    assert len(rows) == 194
    for text, row in zip(rows, table.rows, strict=True):
        assert text[:2] == [str(row.info.id), row.info.name]
        for cell, column in zip(text[5:], table.columns, strict=True):
            names = tuple(cell.strip("{}").split(", ")) if cell else ()
            assert names == row.cells[column.name]
            assert cell.startswith("{") == (len(names) > 1)
    assert last[1] == "unlabeled"
    assert last[header.index("nyudepthv2-37")] == "table"


def test_some_columns_as_yaml(capsys: pytest.CaptureFixture[str], catalog: Catalog) -> None:
    value = yaml.safe_load(run(capsys, "export", "--format", "yaml", "--columns", "voc2012, idd-39,voc2012"))
    assert [column["name"] for column in value["columns"]] == ["voc2012", "idd-39"]
    assert value["columns"][1]["kind"] == "training"
    table = master_table(catalog)
    for entry, row in zip(value["classes"], table.rows, strict=True):
        assert (entry["id"], entry["name"], entry["wordnet"]) == (row.info.id, row.info.name, row.info.wordnet)
        cells = {name: list(row.cells[name]) for name in ("voc2012", "idd-39") if row.cells[name]}
        assert entry["cells"] == cells


def test_export_to_a_file_and_what_goes_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "export", "--output", str(tmp_path / "table.csv")) == ""
    assert (tmp_path / "table.csv").read_text().count("\n") == 196
    assert "no column 'voc2102'; did you mean voc2012" in failed(capsys, 2, "export", "--columns", "voc2102")
    missing = tmp_path / "none" / "table.csv"
    assert f"{missing}: cannot be written" in failed(capsys, 1, "export", "--output", str(missing))


def test_names_that_yaml_would_guess_stay_text(capsys: pytest.CaptureFixture[str]) -> None:
    folder = user_folder("taxonomies")
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "format: 1\nname: own\nignore_id: 255\nclasses:\n- {id: 0, name: no, rgb: [1, 2, 3]}\n"
        "- {id: 1, name: '007', rgb: [1, 2, 3]}\nfrom_universal: {person: no, road: '007'}\n"
    )
    value = yaml.safe_load(run(capsys, "export", "--format", "yaml", "--columns", "own"))
    assert [entry["cells"] for entry in value["classes"] if entry["cells"]] == [{"own": ["007"]}, {"own": ["no"]}]


def test_every_pair_ends_in_a_report_or_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("universal", "naive", "voc2012", "camvid-32", "idd-39", "scannet-37"):
        for target in (*SHIPPED, "nyudepthv2-37", "test-nyudepthv2-37"):
            code = main(["taxonomy", "map", source, target])
            out, err = capsys.readouterr()
            assert code in (0, 1)
            assert (out.startswith(f"{source} -> {target}: "), err.count("\n")) == ((True, 0), (False, 1))[code]
