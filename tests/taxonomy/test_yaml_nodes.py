"""YAML from strangers: nothing in it ends the process, grows without limit or runs."""

from __future__ import annotations

import pytest
import yaml

from mseg_studio.taxonomy.yaml_nodes import MAX_DEPTH, TooDeepError, compose


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
