"""Every setting is described once, where it is defined, and everything that shows settings can rely on it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.config_fields import (
    attribute_help,
    config_fields,
    dataset_fields,
    fields_of,
    value_at,
    with_value,
)
from mseg_studio.training.config_file import config_as_dict, config_from_dict
from mseg_studio.training.slurm_script import SlurmOptions

CONFIG = TrainConfig(name="x", datasets=(DatasetConfig("camvid"),), steps=1, batch=1)
BY_PATH = {field.path: field for field in config_fields()}


@pytest.mark.parametrize("field", [*config_fields(), *dataset_fields(), *fields_of(SlurmOptions)], ids=lambda f: f.path)
def test_every_setting_has_help_in_a_sentence(field) -> None:
    assert field.help.endswith((".", ")")), field.path
    assert field.help[0].isupper() or field.help.split(":")[0].split()[0].rstrip(",") in (*field.choices, "auto"), (
        field.help
    )
    assert "\n" not in field.help


def test_nothing_of_the_configuration_is_left_out() -> None:
    def paths(values: dict, before: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in values.items():
            deeper = isinstance(value, dict) and dataclasses.is_dataclass(getattr(CONFIG, key, None))
            found |= paths(value, f"{key}.") if deeper else {f"{before}{key}"}
        return found

    assert set(BY_PATH) == paths(config_as_dict(CONFIG)) - {"datasets"}
    assert {field.path for field in dataset_fields()} == {field.name for field in dataclasses.fields(DatasetConfig)}


@pytest.mark.parametrize(
    ("path", "kind", "default", "group"),
    [
        ("steps", "whole", None, "main"),
        ("optim.lr", "number", 0.01, "optim"),
        ("augment.scale", "numbers", [0.5, 2.0], "augment"),
        ("augment.short_side", "whole", None, "augment"),
        ("channels_last", "yes_no", True, "main"),
        ("samples", "texts", [], "main"),
        ("start", "text", "", "main"),
    ],
)
def test_kinds_defaults_and_groups(path: str, kind: str, default: object, group: str) -> None:
    field = BY_PATH[path]
    assert (field.kind, field.default, field.group) == (kind, default, group)


def test_choices_optional_and_required() -> None:
    assert BY_PATH["optim.schedule"].choices == ("poly", "cosine", "plateau")
    assert BY_PATH["augment.short_side"].optional and not BY_PATH["augment.crop_px"].optional
    assert {path for path, field in BY_PATH.items() if field.required} == {"name", "steps", "batch"}
    assert BY_PATH["augment.scale"].count == 2 and BY_PATH["samples"].count is None
    classes = next(field for field in dataset_fields() if field.path == "classes")
    assert classes.kind == "map" and classes.default == {}


def test_defaults_are_those_of_the_configuration() -> None:
    values = config_as_dict(CONFIG)
    for path, field in BY_PATH.items():
        if not field.required:
            assert value_at(values, path) == field.default, path


def test_a_value_is_changed_in_a_copy() -> None:
    before = config_as_dict(CONFIG)
    after = with_value(before, "optim.lr", 0.5)
    assert config_from_dict(after).optim.lr == 0.5 and value_at(before, "optim.lr") == 0.01
    assert with_value({}, "optim.lr", 1.0) == {"optim": {"lr": 1.0}}


def test_help_comes_from_the_line_below_the_attribute() -> None:
    assert attribute_help(DatasetConfig)["leave_out"].startswith("Training images whose file name")


def test_it_does_not_load_torch() -> None:
    code = "import mseg_studio.training.config_fields as c, sys; c.config_fields(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
