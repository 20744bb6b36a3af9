"""Files that people name on the command line by mistake, or that somebody made to hurt: one line, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mseg_studio.cli.main import main
from mseg_studio.settings import settings_file, user_folder

_HEAD = "format: 1\nname: x\ntaxonomy: camvid-11\n"
_SPLITS = "splits: {val: {images: a, labels: b}}\n"
_DATASETS: list[tuple[bytes | str, str]] = [
    (b"", "expected `key: value` lines, got nothing"),
    (b"\xff\xfe\x00bin", "not YAML: byte 0 is not UTF-8"),
    (b"\x89PNG\r\n\x1a\n", "not YAML: byte 0 is not UTF-8"),
    ("[" * 200_000, "more than 8 levels of nesting"),
    ("a:\tb\n\tc: d\n", "not YAML: line 2: found a tab character"),
    (f"{_HEAD}splits: {{val: {{list: 'l', root: \"x\\0y\"}}}}\n", "splits.val.root is 'x\\x00y', expected text"),
    (f'{_HEAD}{_SPLITS}"two\\nlines": 1\n', "unknown key 'two\\nlines'"),
    (f"{_HEAD}{_SPLITS}id_map: {{0x_: Sky}}\n", "line 5: '0x_' is no number"),
    (f"{_HEAD}{_SPLITS}ignore_id: !!timestamp abc\n", "line 5: the tag"),
    (f'{_HEAD}splits: {{"b\\nc": {{list: x}}, a: {{list: x}}}}\n', "choose a split with --split: b\\nc, a"),
    (f"{_HEAD.replace('camvid-11', chr(34) + 'cam' + chr(92) + 'e[31m' + chr(34))}{_SPLITS}", "'cam\\x1b[31m'"),
    (f"{_HEAD}{_SPLITS}{_SPLITS}", "line 5: 'splits' is given twice"),
]


@pytest.mark.parametrize(("content", "message"), _DATASETS, ids=[message for _, message in _DATASETS])
def test_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["evaluate", "--dataset", str(path), "--device", "cpu"]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""
    assert err.startswith("mseg-studio: error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--dataset", "."], ".: cannot be read: Is a directory"),
        (["evaluate", "--dataset", "x" * 300], "File name too long"),
        (["evaluate", "--dataset", "a\nb\udcff.yaml"], "a\\nb\\udcff.yaml: no such file"),
        (["evaluate", "--dataset", "x", "--device", "cuda:²"], "device is 'cuda:²', expected auto, cpu, cuda"),
        (["evaluate", "--dataset", "x", "--scales", "nan"], "scales are (nan,)"),
        (["evaluate", "--dataset", "x", "--crop", "9" * 30], "crop_px is 9"),
        (["evaluate", "--dataset", "x", "--model", "a\n\udcff"], "no model is called 'a\\n\\udcff'"),
        (["gui", ".", "--device", "cuda:²"], "device is 'cuda:²', expected auto, cpu, cuda"),
        (["taxonomy", "show", "a\n\udcff"], "unknown taxonomy 'a\\n\\udcff'"),
        (["taxonomy", "show", "../../etc/passwd"], "unknown taxonomy '../../etc/passwd'"),
        (["models", "show", "a\n\udcff"], "no model is called 'a\\n\\udcff'"),
    ],
)
def test_arguments(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""
    assert err.startswith("mseg-studio: error: ") and err.count("\n") == 1


def test_the_lists_name_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    taxonomies, models = user_folder("taxonomies"), user_folder("models")
    for folder in (taxonomies / "dir.yaml", models / "deep", models / "bytes\udcff"):
        folder.mkdir(parents=True)
    (taxonomies / "two\nlines.yaml").write_text("[" * 9999)
    (models / "deep" / "card.yaml").write_text("[" * 9999)
    (models / "bytes\udcff" / "card.yaml").write_bytes(b"\xff")
    assert main(["taxonomy", "list"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "two\\nlines.yaml: is not YAML: line 1: more than 8 levels of nesting" in err
    main(["models", "list"])
    out = capsys.readouterr().out
    assert "deep          broken: cannot be read as a model card: not YAML: line 1: more than 8 levels" in out
    assert "bytes\\udcff   broken: cannot be read as a model card: not YAML: byte 0 is not UTF-8" in out


def test_broken_settings_do_not_stop_commands_that_need_none(capsys: pytest.CaptureFixture[str]) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_bytes(b"\xff")
    assert main(["taxonomy", "show", "camvid-11"]) == 0
    assert capsys.readouterr().err == ""
