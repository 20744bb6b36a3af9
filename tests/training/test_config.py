from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.datasets.ready import ready_path
from mseg_studio.errors import ConfigError
from mseg_studio.training.config import AugmentConfig, DatasetConfig, OptimConfig, TrainConfig
from mseg_studio.training.config_file import config_as_dict, config_from_dict, load_config, save_config, with_settings
from mseg_studio.training.schedule import is_falling, learning_rate
from tests.training.factory import make_config, with_dataset


def test_a_file_gives_back_the_configuration(tmp_path: Path) -> None:
    config = make_config(tmp_path / "data.yaml")
    save_config(tmp_path / "config.yaml", config)
    assert load_config(tmp_path / "config.yaml") == config


@given(
    steps=st.integers(1, 10**7),
    lr=st.floats(1e-6, 10),
    low=st.floats(0.1, 1),
    clip=st.none() | st.floats(0.1, 100),
    prefixes=st.lists(st.text(min_size=1, max_size=5), max_size=3),
)
def test_any_configuration_survives_plain_values(
    steps: int, lr: float, low: float, clip: float | None, prefixes: list[str]
) -> None:
    config = make_config(
        steps=steps, optim=OptimConfig(lr=lr, clip_norm=clip), augment=AugmentConfig(crop_px=33, scale=(low, 1.5))
    )
    config = with_dataset(config, leave_out=tuple(prefixes))
    assert config_from_dict(config_as_dict(config)) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepss": 3}, "unknown key 'stepss'; did you mean steps?"),
        ({"optim": {"learning_rate": 1.0}}, "unknown key 'optim.learning_rate'"),
        ({"optim": {"lr": "fast"}}, "optim.lr is 'fast', expected a number"),
        ({"optim": {"lr": float("nan")}}, "optim.lr is nan"),
        ({"optim": {"optimizer": "adam"}}, "optim.optimizer is 'adam', expected sgd, adamw"),
        ({"steps": True}, "steps is True, expected a whole number"),
        ({"steps": 0}, "steps and batch must be at least 1"),
        ({"augment": {"scale": [1.0]}}, "augment.scale has 1 values, expected 2"),
        ({"augment": {"scale": [2.0, 1.0]}}, "augment.scale must be two increasing numbers"),
        ({"augment": {"flip_p": 1.5}}, "probabilities must lie in 0 to 1"),
        ({"augment": {"rare_classes": ["Tram"]}}, "augment.rare_classes must be names"),
        ({"augment": 3}, "augment is 3, expected `key: value` lines"),
        ({"loss": {"label_stride": 3}}, "loss.label_stride must be 1, 2 or 4"),
        ({"datasets": [{}]}, "key 'datasets.0.description' is missing"),
        ({"datasets": []}, "at least one must have a train_split"),
        ({"datasets": [{"description": "d", "train_split": ""}]}, "at least one must have a train_split"),
        ({"datasets": [{"description": "d"}, {"description": "e"}]}, "two are called 'data'"),
        ({"datasets": [{"description": "d", "name": n} for n in "abc"]}, "batch 2 is not divisible by the 3 datasets"),
        ({"combine": "mgda"}, "mgda needs at least two datasets"),
        ({"name": 12}, "name is 12, expected text (in quotes, where it looks like a number)"),
        ({"compile": 1}, "compile is 1, expected true or false"),
        ({"datasets": "camvid"}, "datasets is 'camvid', expected a list"),
        ({"datasets": ["camvid"]}, "datasets.0 is 'camvid', expected `key: value` lines"),
        ({"augment": {"scale": "1, 2"}}, "augment.scale is '1, 2', expected a list"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"keep": 1}, "keep must be at least 2"),
        ({"seed": 1 << 63}, "seed must be below 2^63"),
        ({"base_size": 0}, "base_size must be at least 1"),
        ({"augment": {"short_side": 0}}, "augment.short_side must be at least 1"),
        ({"augment": {"blur_sigma": -1.0}}, "blur_sigma must not be negative"),
        ({"loss": {"auxiliary_weight": -0.4}}, "weights and class_weight_power must not be negative"),
        ({"loss": {"class_weight_max": 0.0}}, "class_weight_max must be positive"),
        ({"optim": {"clip_norm": 0.0}}, "optim.clip_norm must be positive"),
        ({"optim": {"warmup_steps": -1}}, "warmup_steps must not be negative"),
        ({"optim": {"lr": "1e"}}, "optim.lr is '1e', expected a number"),
        ({"optim": {"lr": "1e999"}}, "optim.lr is '1e999'"),
        ({"optim": {"lr": 10**400}}, "optim.lr is 1000"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_dict({**config_as_dict(make_config()), **change})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "expected `key: value` lines"),
        ("a: [", "not YAML: line"),
        ("[" * 9999, "levels of nesting"),
        ("format: 2\n", "newer MSeg Studio"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.yaml: .*") as caught:
        load_config(path)
    assert message in str(caught.value)


def test_a_description_is_found_beside_the_configuration(tmp_path: Path) -> None:
    save_config(tmp_path / "config.yaml", make_config("../data.yaml"))
    assert Path(load_config(tmp_path / "config.yaml").datasets[0].description) == (tmp_path / "../data.yaml").resolve()


def test_a_ready_description_and_the_folder_of_its_data(tmp_path: Path) -> None:
    config = make_config("camvid-480x360")
    config = with_dataset(config, root="data")
    save_config(tmp_path / "config.yaml", config)
    dataset = load_config(tmp_path / "config.yaml").datasets[0]
    assert Path(dataset.description) == ready_path("camvid-480x360").resolve()
    assert Path(dataset.root) == tmp_path / "data"


def test_the_published_schedule() -> None:
    optim = OptimConfig()
    assert learning_rate(optim, step=0, steps=100) == 0.01
    assert learning_rate(optim, step=50, steps=100) == pytest.approx(0.01 * 0.5**0.9)


def test_a_plateau_does_not_depend_on_the_number_of_steps_before_it_falls() -> None:
    optim = OptimConfig(schedule="plateau", fall=0.4, warmup_steps=10)
    for step in range(60):
        assert learning_rate(optim, step=step, steps=100) == learning_rate(optim, step=step, steps=1000)
    assert learning_rate(optim, step=80, steps=100) == pytest.approx(0.005)
    assert learning_rate(optim, step=4, steps=100) == pytest.approx(0.005)
    assert not is_falling(optim, step=59, steps=100)
    assert is_falling(optim, step=61, steps=100)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "plateau"])
def test_rates_stay_positive_and_end_low(schedule: str) -> None:
    optim = OptimConfig(schedule=schedule)  # type: ignore[arg-type]
    rates = [learning_rate(optim, step=step, steps=200) for step in range(200)]
    assert all(0 < rate <= 0.01 for rate in rates)
    assert rates[-1] < 2e-4


def test_every_field_is_explained() -> None:
    """The form of the training workspace is made of these texts."""
    source = Path(sys.modules[TrainConfig.__module__].__file__ or "").read_text(encoding="utf-8").splitlines()
    for kind in (TrainConfig, AugmentConfig, OptimConfig):
        for field in dataclasses.fields(kind):
            line = next(n for n, text in enumerate(source) if text.startswith(f"    {field.name}: "))
            assert source[line + 1].startswith('    """'), field.name


def test_the_window_can_read_runs_without_torch() -> None:
    code = (
        "import sys, mseg_studio.training.config, mseg_studio.training.run_folder, mseg_studio.training.metrics_log;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_change_single_values() -> None:
    config = with_settings(make_config(), ["optim.lr=0.5", "augment.scale=[0.5, 2]", "datasets.0.val_split=test"])
    assert config.optim.lr == 0.5
    assert config.augment.scale == (0.5, 2.0)
    assert config.datasets[0].val_split == "test"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.lr", "expected key=value"),
        ("optim.lrr=1", "unknown key 'optim.lrr'; did you mean lr?"),
        ("optm.lr=1", "unknown key 'optm'; did you mean optim?"),
        ("datasets.1.name=x", "expected a number from 0 to 0"),
        ("datasets.first.name=x", "expected a number from 0 to 0"),
        ("steps.more=1", "'steps.more' is no setting"),
        ("steps=[", "--set steps"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_settings(make_config(), [setting])
    assert message in str(caught.value)


def test_a_number_with_an_exponent_is_a_number(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-4 for text, because it has no point."""
    config = with_settings(make_config(), ["optim.lr=1e-4", "optim.clip_norm=5E+1", "augment.scale=[1e-1, 2]"])
    assert (config.optim.lr, config.optim.clip_norm, config.augment.scale) == (1e-4, 50.0, (0.1, 2.0))
    (tmp_path / "config.yaml").write_text(
        "name: x\ndatasets: []\nsteps: 1\nbatch: 1\noptim: {lr: 1e-4, weight_decay: fast}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="weight_decay is 'fast'"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("random", "random"),
        ("", ""),
        ("street-small", "street-small"),
        ("mine-v1.2", "mine-v1.2"),
        ("weights.pth", "FOLDER/weights.pth"),
        ("../run", "FOLDER/../run"),
        ("beside", "FOLDER/beside"),
    ],
)
def test_a_start_is_a_model_or_a_file_beside_the_configuration(tmp_path: Path, start: str, expected: str) -> None:
    (tmp_path / "beside").write_bytes(b"")
    save_config(tmp_path / "config.yaml", make_config(tmp_path / "data.yaml", start=start))
    if expected.startswith("FOLDER"):
        expected = str(Path(expected.replace("FOLDER", str(tmp_path))).resolve())
    assert load_config(tmp_path / "config.yaml").start == expected


def test_an_installed_model_is_meant_where_a_file_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "street-small").write_bytes(b"")
    save_config(tmp_path / "config.yaml", make_config(tmp_path / "data.yaml", start="street-small"))
    assert load_config(tmp_path / "config.yaml").start == "street-small"


def test_a_dataset_may_be_only_for_judging() -> None:
    other = DatasetConfig("other.yaml", name="other", train_split="")
    config = make_config()
    config = dataclasses.replace(config, datasets=(*config.datasets, other))
    assert [dataset.name for dataset in config.trained] == ["tiny"]
    assert [dataset.name for dataset in config.validated] == ["tiny", "other"]
