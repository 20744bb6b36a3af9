"""The linter: every mistake in one line with row and column, nothing raised whatever a file holds."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.taxonomy.lint import lint
from tests.taxonomy.published import ALL

YAML = """\
format: 1
name: mine
ignore_id: 255
classes:
- {id: 0, name: person, rgb: [1, 2, 3]}
- {id: 1, name: ground, rgb: [4, 5, 6]}
from_universal:
  person: person
  road: ground
"""
MASTER = (
    "Parent Category\tuniversal\tcamvid-11\tmy-set\tmine\r\n"
    "person\tperson\tPedestrian\t{Human, Child}\tpeople\r\n"
    "person\tbicyclist\tBicyclist\tCyclist\tpeople\r\n"
    "ground\troad\tRoad\t\tground\r\n"
    "\tunlabeled\t\t{Ego, Frame}\t\r\n"
)
PAIRS = "class,universal class\npeople,person\npeople,bicyclist\nground,road\n"


def lines(folder: Path, name: str, text: str | bytes, catalog: Catalog, *, warnings: bool = True) -> list[str]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    findings = lint(path, catalog)
    for finding in findings:
        assert finding.line().isprintable()
    return [finding.line().removeprefix(f"{path}: ") for finding in findings if warnings or finding.severity == "error"]


def test_clean_files(tmp_path: Path, catalog: Catalog) -> None:
    assert lines(tmp_path, "mine.yaml", YAML, catalog) == []
    assert lines(tmp_path, "mine.csv", PAIRS, catalog) == []
    assert lines(tmp_path, "master.tsv", MASTER, catalog, warnings=False) == []


@pytest.mark.parametrize("name", ALL)
def test_shipped_taxonomies_are_clean(catalog: Catalog, name: str) -> None:
    findings = lint(resource_folder("taxonomies") / f"{name}.yaml", catalog)
    unreached = [f"no universal class leads to class '{name}'" for name in ("flower", "wood")]
    assert [finding.message for finding in findings] == (unreached if name == "pascal-context-60" else [])
    assert {finding.severity for finding in findings} <= {"warning"}


def test_the_published_table_has_no_errors(catalog: Catalog, shared: Path) -> None:
    found = lint(shared / "data/mseg/class_remapping_files/MSeg_master.tsv", catalog)
    assert [finding.message for finding in found] == ["classes of 'pascal-context-60' in no row: flower, wood"]
    assert found[0].severity == "warning"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "from_universal:",
            "- {id: 2, name: person, rgb: [7, 8, 9]}\nfrom_universal:",
            "row 7, column name: taxonomy 'mine' names class 'person' twice",
        ),
        (
            "  road:",
            "  raod:",
            "row 9, column from_universal: from_universal: taxonomy 'universal' has no class 'raod'",
        ),
        (
            "  road: ground",
            "  road: grund",
            "row 9, column from_universal: from_universal: taxonomy 'mine' has no class",
        ),
        ("  road:", "  person:", "row 9, column from_universal: from_universal has 'person' twice, expected it once"),
        (
            "from_universal:",
            "- {id: 2, name: 'sky ', rgb: [7, 8, 9]}\nfrom_universal:",
            "row 7, column name: class 2 is called 'sky ', expected a name without outer white space",
        ),
        ("{id: 1,", "{id: 99999,", "row 6, column id: class 'ground' has id 99999, expected 0 to 65534"),
        ("{id: 1,", "{id: 0,", "row 6, column id: class 'ground' has id 0 after id 0, expected ids that increase"),
        ("{id: 1,", "{id: 1.5,", "row 6, column id: id is '1.5', expected a whole number"),
        ("{id: 1,", "{id: 255,", "row 3, column ignore_id: taxonomy 'mine': id 255 is both a class and the ignore id"),
        ("[4, 5, 6]", "[4, 5]", "row 6, column rgb: rgb is a list of 2, expected three numbers 0 to 255"),
        (
            "[4, 5, 6]",
            "[4, 5, 300]",
            "row 6, column rgb: class 'ground' has colour (4, 5, 300), expected three numbers",
        ),
        ("[4, 5, 6]}", "[4, 5, 6]", "row 7: is not YAML: did not find expected ',' or '}'"),
        ("ignore_id: 255\n", "", "column ignore_id: key 'ignore_id' is missing"),
        ("name: mine", "name: yours", "row 2, column name: name is 'yours', expected the file's name, 'mine'"),
        ("format: 1", "format: 2", "column format: format is 2, written by a newer MSeg Studio; this one reads 1"),
        ("from_universal", "from_univers", "row 7, column from_univers: file has an unknown key 'from_univers'; did"),
        (
            "from_universal:",
            "to_universal: {person: persn}\nfrom_universal:",
            "row 7, column to_universal: to_universal: ",
        ),
        (
            "from_universal:",
            "to: {camvid: {person: x}}\nfrom_universal:",
            "row 7, column to: to: unknown taxonomy 'camvid'",
        ),
        (
            "from_universal:",
            "to: {camvid-11: {person: x}}\nfrom_universal:",
            "row 7, column to camvid-11: to camvid-11: taxonomy 'camvid-11' has no class 'x'",
        ),
        ("  road: ground\n", "", "row 6, column from_universal: warning: no universal class leads to class 'ground'"),
    ],
)
def test_mistakes_in_yaml(tmp_path: Path, catalog: Catalog, old: str, new: str, message: str) -> None:
    assert YAML.count(old) == 1
    found = lines(tmp_path, "mine.yaml", YAML.replace(old, new), catalog, warnings="warning" in message)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_all_mistakes_of_a_yaml_file_at_once(tmp_path: Path, catalog: Catalog) -> None:
    text = (
        YAML.replace("format", "fromat").replace("rgb: [1, 2, 3]", "rgb: red").replace("name: ground", "name: person")
    )
    text = text.replace("  road:", "  raod:").replace("ignore_id: 255", "ignore_id: 7")
    assert [line.split(":")[0] for line in lines(tmp_path, "mine.yaml", text, catalog)] == [
        "column format",
        "row 1, column fromat",
        "row 3, column ignore_id",
        "row 5, column rgb",
        "row 9, column from_universal",
        "row 9, column from_universal",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "\tuniversal\t",
            "\tuniversl\t",
            "row 1: no column is called 'universal'; expected one in a table of 5 columns",
        ),
        ("\tmine\r", "\tmy-set\r", "row 1, column my-set: the header 'my-set' stands twice"),
        ("\tmine\r", "\t\r", "row 1: column 5 has no header"),
        (
            "\troad\t",
            "\traod\t",
            "row 4, column universal: taxonomy 'universal' has no class 'raod'; did you mean road",
        ),
        ("\troad\t", "\tperson\t", "row 4, column universal: 'person' stands in row 2 already"),
        ("\troad\t", "\t\t", "row 4, column universal: the universal class is missing"),
        (
            "\troad\t",
            "\t{road, gravel}\t",
            "row 4, column universal: expected one universal class a row; to merge some,",
        ),
        (
            "\tRoad\t",
            "\tRaod\t",
            "row 4, column camvid-11: taxonomy 'camvid-11' has no class 'Raod'; did you mean Road?",
        ),
        ("\tRoad\t", "\t{Road, Car}\t", "row 4, column camvid-11: 'road' is mapped twice: to 'Road' and to 'Car'"),
        (
            "{Human, Child}",
            "{Human, Cyclist}",
            "row 3, column my-set: 'Cyclist' is mapped twice: it stands in row 2 already",
        ),
        ("{Human, Child}", "{Human, Child", "row 2, column my-set: '{Human, Child': the closing brace is missing"),
        ("{Human, Child}", "Human, Child}", "row 2, column my-set: 'Human, Child}': the opening brace is missing"),
        ("{Human, Child}", "{Human}, {Child}", "row 2, column my-set: '{Human}, {Child}': expected one pair of braces"),
        ("{Human, Child}", "{}", "row 2, column my-set: '{}': nothing stands between the braces"),
        ("{Human, Child}", "{Human, }", "row 2, column my-set: '{Human, }': a name is missing beside a comma"),
        ("{Human, Child}", "{Human, Human}", "row 2, column my-set: 'Human' stands twice in the braces"),
        ("Cyclist\t", "Cyclist\t\t", "row 3: has 6 cells, expected 5 as in the header"),
        ("\tpeople\r\nground", "\r\nground", "row 3: has 4 cells, expected 5 as in the header"),
        ("\tCyclist\t", '\t"Cyclist\t', "row 3: a quote is opened and not closed"),
        ("\tCyclist\t", "\tCyc\x07list\t", "row 3, column my-set: 'Cyc\\x07list' has control characters"),
    ],
)
def test_mistakes_in_the_master_layout(tmp_path: Path, catalog: Catalog, old: str, new: str, message: str) -> None:
    assert MASTER.count(old) == 1
    found = lines(tmp_path, "master.tsv", MASTER.replace(old, new), catalog, warnings=False)
    assert found[0].startswith(message)
    assert len(found) == 1


def test_oddities_of_the_master_layout_are_warnings(tmp_path: Path, catalog: Catalog) -> None:
    text = "\ufeff" + MASTER.replace("\tPedestrian\t", "\tPedestrian \t").replace(
        "people\r\nground", "people\n\t\t\t\t\nground"
    )
    found = lines(tmp_path, "master.tsv", text, catalog)
    assert all("warning: " in line for line in found)
    assert [line for line in found if "row" in line.split(":")[0]] == [
        "row 1: warning: a byte order mark stands before the first character",
        "row 2, column camvid-11: warning: 'Pedestrian ' has white space around it",
        "row 4: warning: the row is empty",
    ]
    assert "warning: 4 of 6 lines end with CRLF, the others with LF" in found
    assert any(
        line.startswith("column universal: warning: universal classes without a row: backpack, ") for line in found
    )
    assert any(
        line.startswith("column camvid-11: warning: classes of 'camvid-11' in no row: Building, ") for line in found
    )


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("header", ["class,universal class\n", "", "Name,Universal\n"])
def test_two_columns_however_they_are_separated(tmp_path: Path, catalog: Catalog, separator: str, header: str) -> None:
    text = header + '"my, people; and all",person\nground,road\n'
    rows = [line.rsplit(",", 1) for line in text.splitlines()]
    text = "".join(f"{name}{separator}{universal}\n" for name, universal in rows)
    assert lines(tmp_path, "mine.csv", text, catalog) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "people,persn\n",
            "row 1, column universal class: taxonomy 'universal' has no class 'persn'; did you mean person",
        ),
        ("a,person\nb,person\n", "row 2, column universal class: 'person' is mapped twice: to 'a' in row 1 and to 'b'"),
        ("a,person\nb,road,sky\n", "row 2: has 3 cells, expected 2: a class and a universal class"),
        ("a,person\nb\n", "row 2: has 1 cell, expected 2: a class and a universal class"),
        ('a,person\n"b,road\n', "row 2: a quote is opened and not closed"),
        ("person\nroad\n", "row 1: has one column, expected two: a class and a universal class"),
        ("class,universal\n", "links no class with a universal class"),
        ("a,\n", "links no class with a universal class"),
        ("", "is empty, expected a table of classes"),
        ("\n\n", "is empty, expected a table of classes"),
        (b"a,person\nb\xe4r,road\n", "row 2: byte 10 of the file is not UTF-8"),
        ("a,person\n".encode("utf-16"), "is UTF-16, expected UTF-8: save it as UTF-8 text"),
        (f"{'x' * 300},person\n", "row 1, column class: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' has 300 letters"),
    ],
)
def test_mistakes_in_two_columns(tmp_path: Path, catalog: Catalog, text: str | bytes, message: str) -> None:
    found = lines(tmp_path, "mine.csv", text, catalog, warnings=False)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_oddities_of_two_columns_are_warnings(tmp_path: Path, catalog: Catalog) -> None:
    assert lines(tmp_path, "mine.csv", "a ,person\na,person\nb,\n,sky\n", catalog) == [
        "row 1, column class: warning: 'a ' has white space around it",
        "row 2: warning: 'a' and 'person' stand in row 1 already",
        "row 3, column class: warning: no universal class leads to 'b'",
    ]


def test_files_that_cannot_be_read(tmp_path: Path, catalog: Catalog) -> None:
    assert [finding.line() for finding in lint(tmp_path / "none.yaml", catalog)] == [
        f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"
    ]
    assert lint(tmp_path, catalog)[0].severity == "error"
    with (tmp_path / "large.tsv").open("wb") as stream:
        stream.truncate((4 << 20) + 1)
    assert lint(tmp_path / "large.tsv", catalog)[0].message == "is larger than 4 MiB, expected a table of classes"


def test_a_file_with_a_shipped_name_is_told(tmp_path: Path, catalog: Catalog) -> None:
    text = YAML.replace("name: mine", "name: camvid-11")
    assert lines(tmp_path, "camvid-11.yaml", text, catalog) == [
        "column name: is not used: MSeg Studio's own 'camvid-11' stays; rename this file and its 'name'"
    ]
    copy = (resource_folder("taxonomies") / "camvid-11.yaml").read_bytes()
    assert lines(tmp_path, "camvid-11.yaml", copy, catalog) == []


def test_what_is_reported_on_load_are_findings_of_the_linter(tmp_path: Path) -> None:
    own = Catalog([resource_folder("taxonomies"), tmp_path])
    for text in (
        YAML.replace("  road:", "  raod:"),
        YAML.replace("[4, 5, 6]", "[4]"),
        YAML.replace("{id: 1", "{id: 0"),
    ):
        (tmp_path / "mine.yaml").write_text(text)
        (problem,) = own.problems()
        messages = [finding.message for finding in lint(tmp_path / "mine.yaml", own)]
        assert problem.reason.split(": ", 1)[1] in messages or problem.reason in messages


def test_a_column_of_notes_is_no_taxonomy(tmp_path: Path, catalog: Catalog) -> None:
    note = "seen from the car, from a bridge, from a window and from everywhere else in town"
    found = lines(tmp_path, "t.tsv", MASTER.replace("\tground\r", f"\t{note}\r"), catalog)
    assert "column mine: warning: holds sentences: it is read as notes, not as a taxonomy" in found


def test_a_file_of_something_else_ends_soon(tmp_path: Path, catalog: Catalog) -> None:
    found = lines(tmp_path, "t.csv", "spam,eggs\n" * 100_000, catalog)
    assert len(found) == 501
    assert found[-1] == "row 501: has more than 500 mistakes; what follows was not checked"
    found = lines(tmp_path, "mine.yaml", YAML + "".join(f"  x{n}: road\n" for n in range(2000)), catalog)
    assert len(found) == 501


def test_names_of_any_length_make_short_lines(tmp_path: Path, catalog: Catalog) -> None:
    assert len(lines(tmp_path, "t.csv", "a," + "x" * 100_000, catalog)[0]) < 400
    assert len(lines(tmp_path, "mine.yaml", YAML + f"  ? {'x' * 100_000}\n  : person\n", catalog)[0]) < 1200


CATALOG = default_catalog()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["x.yaml", "x.tsv", "x.csv", "x"]))
def test_random_bytes_never_raise(data: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert lines(Path(folder), name, data, CATALOG) != [""]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([("x.yaml", YAML), ("x.tsv", MASTER), ("x.csv", PAIRS)]), st.integers(0, 2**32))
def test_random_changes_of_good_files_never_raise(good: tuple[str, str], seed: int) -> None:
    chance, (name, text) = random.Random(seed), good
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        piece = chance.choice(
            [b"", b"{", b"}", b"\t", b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"&a", b"*a", b": ", b"- "]
        )
        end = at + chance.choice([0, 1, 9])
        data[at:end] = piece
        if not data:
            return
    with tempfile.TemporaryDirectory() as folder:
        lines(Path(folder), name, bytes(data), CATALOG)
