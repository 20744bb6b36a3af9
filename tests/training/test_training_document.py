"""docs/training.md says what there is. `python -m tests.training.test_training_document` writes its tables anew."""

from __future__ import annotations

from pathlib import Path

import yaml

from mseg_studio.training.config import MAY_CHANGE_ON_RESUME
from mseg_studio.training.config_fields import MAIN, ConfigField, config_fields, dataset_fields
from mseg_studio.training.recipes import recipe_names

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
_START, _END = "<!-- settings: made by tests/training/test_training_document.py -->", "<!-- end of settings -->"


def tables() -> str:
    """Every setting with its default and help, a table for each group."""
    groups: dict[str, list[ConfigField]] = {MAIN: [], "datasets": list(dataset_fields())}
    for field in config_fields():
        groups.setdefault(field.group, []).append(field)
    parts = []
    for name, fields in groups.items():
        title = {MAIN: "The run", "datasets": "`datasets`: a list of these"}.get(name, f"`{name}`")
        rows = [f"| `{field.name}` | {_default(field)} | {_help(field)} |" for field in fields]
        parts.append("\n".join([f"### {title}", "", "| setting | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _default(field: ConfigField) -> str:
    if field.required:
        return "(needed)"
    if field.default in ("", [], {}, None):
        return ""
    text = yaml.safe_dump(field.default, default_flow_style=True, allow_unicode=True).removesuffix("\n...\n").strip()
    return f"`{text}`"


def _help(field: ConfigField) -> str:
    return field.help.replace("|", "\\|")


def _written() -> tuple[str, str, str]:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(_START)
    inside, _, after = rest.partition(_END)
    return before, inside.strip(), after


def test_every_setting_stands_in_the_document_as_it_is() -> None:
    assert _written()[1] == tables(), "run `python -m tests.training.test_training_document`"
    assert all(field.help for field in (*config_fields(), *dataset_fields()))


def test_every_recipe_is_named() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = {name.removesuffix("-unrelabeled") for name in recipe_names()}
    assert not {name for name in shown if f"`{name}`" not in text}


def test_what_may_change_on_resume_is_named() -> None:
    (line,) = [
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if "may change on `runs resume" in line
    ]
    intervals = {"log_every", "validate_every", "validate_images", "save_every", "keep", "samples"}
    assert not {name for name in MAY_CHANGE_ON_RESUME - intervals if f"`{name}`" not in line}


if __name__ == "__main__":
    before, _, after = _written()
    DOCUMENT.write_text(f"{before}{_START}\n\n{tables()}\n\n{_END}{after}", encoding="utf-8")
