"""Settings are sparse, typed, and wrong ones are named."""

from __future__ import annotations

import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.settings import AppSettings, load_settings, resource_folder, save_settings, settings_file


def test_defaults_without_a_file() -> None:
    assert load_settings() == AppSettings()


def test_round_trip_writes_only_what_differs() -> None:
    settings = AppSettings(theme="dark", recent=("/a/ü.png",), opacity=0.25)
    save_settings(settings)
    assert load_settings() == settings
    assert set(settings_file().read_text(encoding="utf-8").split("\n")) >= {"theme: dark", "opacity: 0.25"}
    assert "device" not in settings_file().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("them: dark", "unknown setting 'them'; did you mean theme"),
        ("theme: blue", "setting theme is 'blue', expected one of system, light, dark"),
        ("opacity: much", "setting opacity is 'much', expected a number"),
        ("opacity: 7", "setting opacity is 7.0, expected 0 to 1"),
        ("threads: true", "setting threads is True, expected a whole number"),
        ("- a", "expected `setting: value` lines"),
        ("device: tpu", "device is 'tpu', expected auto, cpu, cuda, cuda:N or mps"),
        ("recent: a.png", "setting recent is 'a.png', expected a list of texts"),
        ("theme: ~", "setting theme is None, expected text"),
        ('"a\\nb": 1', "unknown setting 'a\\nb'"),
        ("opacity: .nan", "setting opacity is nan, expected 0 to 1"),
        ("a: [", "not YAML: line"),
        ("[" * 100_000, "not YAML: line 1: more than 8 levels"),
        ("theme: dark\ntheme: light", "'theme' is given twice"),
        ("format: 2", "newer MSeg Studio"),
    ],
)
def test_a_wrong_file_is_named(text: str, message: str) -> None:
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(settings_file()) in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_resources_are_found_and_damage_is_named() -> None:
    assert (resource_folder("taxonomies") / "universal.yaml").is_file()
    with pytest.raises(ConfigError, match="no resources/nonsense"):
        resource_folder("nonsense")
