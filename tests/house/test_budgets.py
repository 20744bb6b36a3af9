"""The size budgets of the house: a file is one idea, a function fits on a screen."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FILES = sorted((_ROOT / "mseg_studio").rglob("*.py"))
_MAX_FILE_LINES, _MAX_FUNCTION_LINES = 400, 60
_BANNED_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_the_measure_sees_the_program() -> None:
    assert len(_FILES) > 30


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(_ROOT)): n
        for path in _FILES
        if (n := len(path.read_text().splitlines())) > _MAX_FILE_LINES
    }
    assert not long, f"more than {_MAX_FILE_LINES} lines: {long}"


def test_functions_are_short() -> None:
    long = []
    for path in _FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > _MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(_ROOT)}:{node.lineno} {node.name} ({lines})")
    assert not long, f"more than {_MAX_FUNCTION_LINES} lines: {long}"


def test_no_rooms_for_odds_and_ends() -> None:
    named = [
        str(path.relative_to(_ROOT))
        for path in _FILES
        if path.stem in _BANNED_NAMES or path.parent.name in _BANNED_NAMES
    ]
    assert not named


def test_packages_run_nothing_when_imported() -> None:
    loud = [
        str(p.relative_to(_ROOT))
        for p in _FILES
        if p.name == "__init__.py" and p.parent.name != "mseg_studio" and p.read_text()
    ]
    assert not loud


def test_nothing_runs_code_from_files() -> None:
    banned = re.compile(
        r"\b(import|from) pickle\b|(?<![.\w])eval\(|(?<![.\w])exec\(|yaml\.load\(|weights_only=False|\.cuda\(\)"
    )
    found = [
        f"{path.relative_to(_ROOT)}:{number}"
        for path in _FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if banned.search(line)
    ]
    assert not found
