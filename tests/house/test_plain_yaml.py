"""YAML from strangers: nothing in it ends the process, grows without limit or runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import ConfigError
from mseg_studio.plain_yaml import MAX_BYTES, MAX_DEPTH, TooDeepError, compose, parse_yaml, read_yaml


@pytest.mark.parametrize("start", ["[", "- ", "{a: ", "? ", "[[{a: [", "&a [*a, ["])
def test_deep_nesting_is_an_error_and_no_crash(start: str) -> None:
    """The C composer of PyYAML recurses until the process dies."""
    with pytest.raises(yaml.YAMLError):
        compose(start * 300_000)


def test_how_deep_is_too_deep() -> None:
    compose("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(TooDeepError, match="more than 8 levels of nesting"):
        compose("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_aliases_are_the_same_node() -> None:
    root = compose("a: &x [1, 2]\nb: *x\nc: [*x, *x]\n")
    assert isinstance(root, yaml.MappingNode)
    (_, first), (_, second), (_, third) = root.value
    assert second is first
    assert third.value == [first, first]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: *nobody", "alias 'nobody' is used before it is defined"),
        ("a: &x [*x]", "alias 'x' is used before it is defined"),
        ("a: 1\n---\nb: 2", "a second document starts, expected one"),
        ("a: [1", "did not find expected"),
        ("a: 'x", "found unexpected end of stream"),
    ],
)
def test_problems_have_words_and_a_line(text: str, problem: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError, match=problem) as caught:
        compose(text)
    assert caught.value.problem_mark is not None


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n...\n"])
def test_empty_files_have_no_content(text: str) -> None:
    root = compose(text)
    assert root is None or (isinstance(root, yaml.ScalarNode) and root.value == "")


def test_scalars_stay_text_and_tags_do_nothing() -> None:
    root = compose("[no, 'no', 1.0, ~, 2026-01-01, !!python/name:os.system x]")
    assert isinstance(root, yaml.SequenceNode)
    assert [node.value for node in root.value] == ["no", "no", "1.0", "~", "2026-01-01", "x"]
    assert [node.style for node in root.value] == [None, "'", None, None, None, None]


def plain(tmp_path: Path, text: str | bytes) -> object:
    return parse_yaml(text if isinstance(text, bytes) else text.encode(), tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: 1.5\nc: true\nd: ~\n", {"a": 1, "b": 1.5, "c": True, "d": None}),
        ("a: 'no'\nb: no way\n", {"a": "no", "b": "no way"}),
        ("\ufeffa: [1, [x], {}]\r\n", {"a": [1, ["x"], {}]}),
        ("[255, 0, 1]: red\n7: seven\n", {(255, 0, 1): "red", 7: "seven"}),
        ("day: 2026-13-45", {"day": "2026-13-45"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_plain_values(tmp_path: Path, text: str, value: object) -> None:
    assert plain(tmp_path, text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 300_000, "not YAML: line 1: more than 8 levels of nesting"),
        ("{a: " * 300_000, "not YAML: line 1: more than 8 levels of nesting"),
        ("a: &x 1\nb: *x\n", "not YAML: line 2: aliases are not allowed"),
        ("a: 1\nb: 2\na: 3\n", "not YAML: line 3: 'a' is given twice"),
        ("{a: 1}: b", "not YAML: line 1: a key is text, a number or a plain list of them"),
        ("a: !!timestamp abc", "not YAML: line 1: the tag 'tag:yaml.org,2002:timestamp' is not allowed"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML: line 1: the tag 'tag:yaml.org,2002:python/object"),
        ("a: 0x_", "not YAML: line 1: '0x_' is no number that can be read"),
        (f"a: {'9' * 5000}", "not YAML: line 1: '9999"),
        ("a: 1\n\tb: 2\n", "not YAML: line 2: found a tab character"),
        (b"a: \xff", "not YAML: byte 3 is not UTF-8"),
        (b"a: \x00", "not YAML: control characters are not allowed"),
        (b"#" * (MAX_BYTES + 1), "is larger than 4 MiB"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plain(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}: {message}")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "cannot be read: "), (tmp_path / "gone", "no such file")):
        with pytest.raises(ConfigError, match=message):
            read_yaml(path)


_WORDS = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cc"]) | st.sampled_from("\n\t"), max_size=12)
_NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False)
_LEAVES = st.none() | st.booleans() | _NUMBERS | _WORDS
_LISTS = st.lists(_LEAVES, max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_WORDS, _LEAVES | _LISTS | st.dictionaries(_WORDS, _LEAVES | _LISTS, max_size=4), max_size=4))
def test_what_pyyaml_writes_comes_back(value: object) -> None:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    assert parse_yaml(text.encode(), Path("a.yaml")) == value


@given(st.binary(max_size=60) | st.text("[]{}&*!?:-, \n\t'\"#<=.0x1_a", max_size=40).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_value_or_one_line(data: bytes) -> None:
    try:
        parse_yaml(data, Path("a.yaml"))
    except ConfigError as error:
        assert "\n" not in str(error)
