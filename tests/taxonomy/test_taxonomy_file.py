"""One taxonomy file: what it may say, and one exact line for every mistake."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.table import MAX_BYTES, read_table

GOOD = """\
format: 1
name: mine
ignore_id: 255
classes:
- {id: 0, name: road, rgb: [1, 2, 3]}
- {id: 2, name: no, rgb: [4, 5, 6], parent: ~, wordnet: sky.n.01, aliases: [on, 'off', "ja: nein"]}
from_universal:
  road: road
  sky: no
"""
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def write(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_small_file(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, GOOD))
    assert table.taxonomy.names == ("road", "no"), "a name is text whatever YAML makes of it"
    assert [info.id for info in table.taxonomy.classes] == [0, 2], "holes between ids are allowed"
    assert table.taxonomy.classes[1].aliases == ("on", "off", "ja: nein")
    assert (table.taxonomy.classes[1].parent, table.taxonomy.classes[1].wordnet) == (None, "sky.n.01")
    assert table.to_universal is None
    assert table.from_universal == {"road": "road", "sky": "no"}
    assert (table.links, table.note, table.to) == ("exact", "", {})


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_byte_order_mark_and_windows_line_ends(tmp_path: Path, change) -> None:
    assert read_table(write(tmp_path, change(GOOD))).taxonomy == read_table(write(tmp_path, GOOD)).taxonomy


def test_anchors_are_plain_repetition(tmp_path: Path) -> None:
    text = GOOD.replace("rgb: [1, 2, 3]", "rgb: &grey [9, 9, 9]").replace("rgb: [4, 5, 6]", "rgb: *grey")
    assert {info.rgb for info in read_table(write(tmp_path, text)).taxonomy.classes} == {(9, 9, 9)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: no,", "name: road,", "line 6: taxonomy 'mine' names class 'road' twice"),
        (
            "  sky: no",
            "  sky: raod",
            "line 9: from_universal: taxonomy 'mine' has no class 'raod'; did you mean road?",
        ),
        ("  sky: no", "  road: no", "line 9: from_universal has 'road' twice, expected it once"),
        ("{id: 2,", "{id: 0,", "line 6: class 'no' has id 0 after id 0, expected ids that increase"),
        ("{id: 0,", "{id: 5,", "line 6: class 'no' has id 2 after id 5, expected ids that increase"),
        ("{id: 2,", "{id: -2,", "line 6: id is '-2', expected a whole number"),
        ("{id: 2,", "{id: 2.5,", "line 6: id is '2.5', expected a whole number"),
        ("{id: 2,", "{id: 70000,", "line 6: class 'no' has id 70000, expected 0 to 65534"),
        ("{id: 2,", "{id: 300,", "line 3: taxonomy 'mine': ignore id is 255, expected 65535"),
        ("{id: 2,", "{id: 255,", "line 3: taxonomy 'mine': id 255 is both a class and the ignore id"),
        ("ignore_id: 255", "ignore_id: 0", "line 3: taxonomy 'mine': id 0 is both a class and the ignore id"),
        ("ignore_id: 255", "ignore_id: 254", "line 3: taxonomy 'mine': ignore id is 254, expected 255"),
        ("ignore_id: 255", "ignore_id: none", "line 3: ignore_id is 'none', expected a whole number"),
        ("ignore_id: 255\n", "", "key 'ignore_id' is missing"),
        ("format: 1", "format: 2\nnew: thing", "format is 2, written by a newer MSeg Studio; this one reads 1"),
        ("format: 1", "format: 0", "line 1: format is 0, expected 1"),
        ("format: 1\n", "", "key 'format' is missing"),
        ("name: mine", "name: yours", "line 2: name is 'yours', expected the file's name, 'mine'"),
        ("name: mine", "name:", "line 2: name is nothing, expected text"),
        ("name: mine", "name: [mine]", "line 2: name is a list of 1, expected text"),
        ("name: no, ", "", "line 6: key 'name' of a class is missing"),
        ("name: no,", "name: ' no',", "line 6: class 2 is called ' no', expected a name without outer white space"),
        ("[4, 5, 6]", "[4, 5]", "line 6: rgb is a list of 2, expected three numbers 0 to 255"),
        ("[4, 5, 6]", "[4, 5, 256]", "line 6: class 'no' has colour (4, 5, 256), expected three numbers 0 to 255"),
        ("[4, 5, 6]", "'#040506'", "line 6: rgb is '#040506', expected a list"),
        (", parent: ~", ", parnt: x", "line 6: class has an unknown key 'parnt'; did you mean parent, wordnet?"),
        (
            "from_universal:",
            "from_univrsal:",
            "line 7: file has an unknown key 'from_univrsal'; did you mean from_universal, to_universal?",
        ),
        ("from_universal:", "links: maybe\nfrom_universal:", "line 7: links is 'maybe', expected exact or approximate"),
        (
            "from_universal:",
            "to_universal:",
            "line 9: to_universal: taxonomy 'mine' has no class 'sky'; known: no, road",
        ),
        ("from_universal:", "format: 1\nfrom_universal:", "line 7: file has 'format' twice, expected it once"),
        ("from_universal:", "<<: {a: b}\nfrom_universal:", "line 7: file has an unknown key '<<'"),
    ],
)
def test_mistakes_have_one_exact_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert GOOD.count(old) == 1
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(TaxonomyError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    if "unknown key '<<'" not in message:
        assert str(caught.value) == f"{path}: {message}"
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected `key: value` lines, got nothing"),
        (b"road\nsky\n", "expected `key: value` lines, got 'road sky'"),
        (b"- a\n- b\n", "expected `key: value` lines, got a list of 2"),
        (b"format: 1\nname: [mine\n", "is not YAML: line 3: did not find expected ',' or ']'"),
        (b"format: 1\n\tname: mine\n", "is not YAML: line 2: found a tab character that violates indentation"),
        (b"format: 1\n---\nformat: 1\n", "is not YAML: line 2: a second document starts, expected one"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "byte 0 is not UTF-8, expected a taxonomy in YAML"),
        (b"format: 1\nname: m\x00ine\n", "is not YAML: control characters are not allowed"),
        (b"format: 1\nname: *nobody\n", "is not YAML: line 2: alias 'nobody' is used before it is defined"),
        (b"[" * 100_000, "is not YAML: line 1: more than 8 levels of nesting"),
        (b"classes: !!python/object/apply:os.system ['true']\n", "key 'format' is missing"),
    ],
)
def test_files_that_are_no_taxonomy(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(TaxonomyError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    path = write(tmp_path, f"{BOMB}format: 1\nname: *i\n")
    start_s = time.perf_counter()
    with pytest.raises(TaxonomyError) as caught:
        read_table(path)
    assert len(str(caught.value)) < 400
    path = write(tmp_path, f"{GOOD}note: {{<<: [*x]}}\n".replace("format: 1", "format: &x 1"))
    with pytest.raises(TaxonomyError, match="note is a mapping of 1, expected text"):
        read_table(path)
    assert time.perf_counter() - start_s < 2


def test_huge_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(TaxonomyError, match=r"mine.yaml: cannot be read: No such file"):
        read_table(path)
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(TaxonomyError, match=r"mine.yaml: is larger than 4 MiB, expected a taxonomy"):
        read_table(path)


def test_a_link_from_a_name_that_repeats_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("name: no,", "name: unlabeled,").replace("sky: no", "sky: unlabeled")
    text = text.replace("name: road,", "name: unlabeled,").replace("road: road", "road: unlabeled")
    with pytest.raises(TaxonomyError, match="has several classes 'unlabeled', expected one"):
        read_table(write(tmp_path, text))


def test_the_example_of_the_guide_is_right(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "taxonomies.md"
    text = guide.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    write(tmp_path, text, "people.yaml")
    catalog = Catalog([resource_folder("taxonomies"), tmp_path])
    projection = catalog.projection("universal", "people")
    assert catalog.problems() == ()
    assert [len(group) for group in projection.groups] == [4, 2]
