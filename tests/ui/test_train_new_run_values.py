"""What stands behind the form of a new run: values against a preset, checks, memory, and the start itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mseg_studio.errors import ConfigError, RunFailed
from mseg_studio.storage import write_atomic
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.config_fields import config_fields
from mseg_studio.training.config_file import load_config, save_config
from mseg_studio.training.recipes import load_recipe
from mseg_studio.training.runs import known_runs, runs_folder
from mseg_studio.training.slurm_script import SlurmOptions
from mseg_studio.ui.workspaces.train.form_check import check
from mseg_studio.ui.workspaces.train.form_values import Draft, changes, draft_of_run, form_fields, shown, typed
from mseg_studio.ui.workspaces.train.launch_line import local_lines
from mseg_studio.ui.workspaces.train.new_run_begin import Engine, Order, folder_for, make_run, plan_of
from mseg_studio.ui.workspaces.train.new_run_folders import dataset_at
from mseg_studio.ui.workspaces.train.new_run_memory import Memory, load_memory, memory_file
from mseg_studio.ui.workspaces.train.new_run_opening import name_of, opening, with_recipe
from mseg_studio.ui.workspaces.train.new_run_origin import Origin, origin_of, write_origin
from mseg_studio.ui.workspaces.train.new_run_where import SLURM, Where, hints, refusal
from tests.datasets.camvid_like import make_camvid


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return make_camvid(tmp_path / "c", train=5, val=2)


@pytest.fixture
def draft(camvid: Path) -> Draft:
    found = dataset_at(camvid)
    assert found is not None
    return Draft(load_recipe("smoke"), "try", (found,), "random")


class TestDraft:
    def test_a_setting_is_changed_and_set_back(self, draft: Draft) -> None:
        changed = draft.with_change("optim.lr", 0.5).with_change("steps", 7)
        assert changed.config().optim.lr == 0.5 and changed.config().steps == 7
        assert changed.value("optim.lr") == 0.5 and changed.preset_value("optim.lr") == 0.002
        assert changed.with_change("optim.lr", 0.002).changes == {"steps": 7}
        assert draft.changes == {}

    def test_yes_is_not_the_number_one(self, draft: Draft) -> None:
        assert draft.with_change("accumulate", True).changes == {"accumulate": True}
        assert "accumulate" in draft.with_change("accumulate", True).problems()

    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            ("optim.lr", -1.0, "must be positive"),
            ("steps", "many", "expected a whole number"),
            ("augment.scale", [2.0, 1.0], "increasing"),
            ("augment.scale", [2.0], "expected 2"),
            ("optim.schedule", "steep", "expected poly, cosine, plateau"),
            ("augment.flip_p", 1.5, "0 to 1"),
            ("keep", 1, "at least 2"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_setting(self, draft: Draft, path: str, value: object, words: str) -> None:
        problems = draft.with_change(path, value).problems()
        assert list(problems) == [path] and words in problems[path]

    def test_two_faults_are_said_each_at_its_own_place(self, draft: Draft) -> None:
        wrong = draft.with_change("optim.lr", -1.0).with_change("keep", 0)
        assert set(wrong.problems()) == {"optim.lr", "keep"}

    def test_two_changes_that_only_fit_together_are_fine(self, draft: Draft) -> None:
        two = dataclasses.replace(draft, datasets=(*draft.datasets, dataclasses.replace(draft.datasets[0], name="b")))
        assert set(two.with_change("batch", 3).problems()) == {"batch"}
        assert two.with_change("combine", "mgda").problems() == {}
        assert set(draft.with_change("combine", "mgda").problems()) == {"combine"}

    def test_the_recipe_of_ones_own_taxonomy(self, draft: Draft) -> None:
        own = dataclasses.replace(draft, recipe=load_recipe("oracle"))
        assert own.value("taxonomy") == "own" and own.config().taxonomy == "camvid-11"

    def test_datasets_of_a_recipe_may_be_left_out(self, draft: Draft) -> None:
        many = load_recipe("mseg-480-3m-unrelabeled")
        fewer = dataclasses.replace(draft, recipe=many).with_change("batch", 12)
        assert [one.name for one in fewer.config().datasets] == ["camvid-480x360"]

    def test_a_configuration_comes_back_from_its_draft(self, draft: Draft, tmp_path: Path) -> None:
        config = draft.with_change("optim.lr", 0.5).with_change("augment.short_side", None).config()
        for recipe in (load_recipe("smoke"), load_recipe("mseg-480-3m"), None):
            again = draft_of_run(config, tmp_path / "run", recipe)
            assert again.config() == config
        same = draft_of_run(config, tmp_path / "run", load_recipe("smoke"))
        assert same.changes == {"optim.lr": 0.5, "augment.short_side": None}
        assert changes(load_recipe("smoke"), config)["optim.lr"] == (0.002, 0.5)
        assert draft_of_run(config, tmp_path / "run", None).changes == {}


class TestWords:
    def test_every_default_can_be_typed_as_it_is_shown(self) -> None:
        for one in config_fields():
            if not one.required:
                assert typed(shown(one.default), one) == one.default or one.kind == "yes_no", one.path

    @pytest.mark.parametrize(
        ("path", "text", "value"),
        [
            ("steps", "20 000", 20000),
            ("steps", "2e4", 20000),
            ("steps", "2.5", 2.5),
            ("optim.lr", "1e-3", 0.001),
            ("optim.lr", "fast", "fast"),
            ("augment.short_side", "", None),
            ("augment.scale", "0.5; 2", [0.5, 2.0]),
            ("samples", "a.png, b.png,", ["a.png", "b.png"]),
            ("taxonomy", " universal ", "universal"),
        ],
    )
    def test_what_people_type(self, path: str, text: str, value: object) -> None:
        (one,) = (one for one in form_fields() if one.path == path)
        found = typed(text, one)
        assert found == value and type(found) is type(value)


class TestCheck:
    def test_a_run_that_can_start(self, draft: Draft) -> None:
        found = check(draft)
        assert found.reason == "" and found.config is not None and found.rows == 11
        assert found.config.datasets[0].classes["Tree"] == "vegetation", "the folder of a run names all classes"
        assert found.datasets[0].words == "5 to train on · 2 to judge by · 11 classes"

    @pytest.mark.parametrize(
        ("values", "place", "words"),
        [
            ({"datasets": ()}, "data", "Choose the data"),
            ({"name": ""}, "name", "Give the run a name"),
            ({"name": "a/b"}, "name", "must do for a folder"),
            ({"start": ""}, "start", "Choose the start weights"),
            ({"start": "street-smal"}, "start", "street-small"),
            ({"start": "/nowhere/a.pth"}, "start", "no such checkpoint"),
            ({"changes": {"optim.lr": -1.0}}, "optim.lr", "positive"),
            ({"changes": {"taxonomy": "universl"}}, "taxonomy", "universal"),
        ],
    )
    def test_the_reason_why_not(self, draft: Draft, values: dict, place: str, words: str) -> None:
        found = check(dataclasses.replace(draft, **values))
        assert found.config is None and found.place == place and words in found.reason

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"root": "/nowhere/at/all"}, "/nowhere/at/all"),
            ({"root": ""}, "choose the folder that holds it"),
            ({"train_split": "", "val_split": ""}, "neither trained on nor judged by"),
            ({"train_split": "trai"}, "train"),
            ({"leave_out": ("train_",)}, "nothing is left of train"),
            ({"description": "camvid-480"}, "camvid-480"),
        ],
    )
    def test_what_is_wrong_with_a_dataset(self, draft: Draft, values: dict, words: str) -> None:
        wrong = dataclasses.replace(draft, datasets=(dataclasses.replace(draft.datasets[0], **values),))
        found = check(wrong)
        assert found.place == "data" and words in found.datasets[0].problem and words in found.reason

    def test_left_out_images_and_ignored_classes_are_counted(self, draft: Draft) -> None:
        part = dataclasses.replace(
            draft.datasets[0], leave_out=("train_000",), classes={"Road": "road", "Sky": "sky"}, val_split=""
        )
        found = check(dataclasses.replace(draft, datasets=(part,)))
        assert found.datasets[0].words == "4 to train on · 2 classes · 9 ignored"
        assert "Tree" in found.datasets[0].without_target

    def test_a_recipe_of_relabelled_data_refuses_other_labels(self, draft: Draft, camvid: Path) -> None:
        own = DatasetConfig("camvid-480x360", str(camvid), "ade20k")
        found = check(dataclasses.replace(draft, recipe=load_recipe("mseg-480-3m"), datasets=(own,)))
        assert "learns from relabelled" in found.reason


class TestFolders:
    def test_a_folder_is_recognised_by_its_layout(self, camvid: Path) -> None:
        found = dataset_at(camvid)
        assert found == DatasetConfig("camvid-480x360", str(camvid), "camvid-480x360", "train", "val")

    def test_a_description_says_more_than_the_layout(self, camvid: Path) -> None:
        path = camvid / "mine.yaml"
        path.write_text("based_on: camvid-480x360\nname: mine\nroot: .\n")
        for where in (camvid, path):
            found = dataset_at(where)
            assert found is not None and (found.name, found.description, found.root) == ("mine", str(path), "")

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("no")
        assert dataset_at(tmp_path) is None and dataset_at(tmp_path / "a.txt") is None


class TestMemory:
    def test_the_next_form_begins_with_what_was_used_last(self, camvid: Path) -> None:
        memory = Memory()
        memory.remember_folder("camvid-480x360", str(camvid))
        memory.last = {"recipe": "smoke", "datasets": ["camvid-480x360"], "processes": 2, "slurm": ["partition=gpu"]}
        memory.save()
        found = opening(None, None, None)
        assert found.draft.recipe.name == "smoke" and found.draft.datasets[0].root == str(camvid)
        assert found.origin == Origin(processes=2, slurm=("partition=gpu",))
        assert opening("laptop", None, None).draft.recipe.name == "laptop"

    def test_a_folder_that_is_gone_is_not_offered(self, tmp_path: Path) -> None:
        memory = Memory({"camvid-480x360": str(tmp_path / "gone")})
        assert memory.folder_of("camvid-480x360") == ""
        memory.save()
        assert opening(None, None, None).draft.datasets == ()

    @pytest.mark.parametrize("text", ["", "[]", '{"folders": 3, "last": []}', "\0"])
    def test_a_damaged_file_is_no_obstacle(self, text: str) -> None:
        write_atomic_to(memory_file(), text)
        assert load_memory() == Memory()

    def test_asked_for_what_is_not_there(self, tmp_path: Path) -> None:
        assert "No recipe is called 'lapto'" in opening("lapto", None, None).problem
        assert "cannot be copied" in opening(None, tmp_path, None).problem
        assert "nowhere" in opening(None, None, "nowhere").problem
        assert opening("lapto", None, None).draft.recipe.name == "first", "and something sensible comes anyway"

    def test_a_copy_is_held_against_its_recipe(self, draft: Draft, tmp_path: Path) -> None:
        config = draft.with_change("optim.lr", 0.5).config()
        save_config(tmp_path / "config.yaml", config)
        near = opening(None, tmp_path, None)
        assert near.draft.recipe.name == "smoke" and near.draft.changes == {"optim.lr": 0.5}
        write_origin(tmp_path, Origin("laptop", processes=2))
        told = opening(None, tmp_path, None)
        assert told.draft.recipe.name == "laptop" and told.draft.config() == load_config(tmp_path / "config.yaml")
        assert told.origin.processes == 2 and told.clone_of == tmp_path

    def test_another_recipe_keeps_the_data_and_finds_its_own(self, draft: Draft, camvid: Path) -> None:
        memory = Memory({"ade20k": str(camvid)})
        many = with_recipe(draft, load_recipe("mseg-480-3m-unrelabeled"), memory, draft.datasets)
        assert len(many.datasets) == 7 and many.datasets[0].root == str(camvid) and many.start == ""
        back = with_recipe(many, load_recipe("laptop"), memory, (*draft.datasets, *many.datasets))
        assert [one.name for one in back.datasets] == ["camvid-480x360", "ade20k"] and back.start == "random"
        assert name_of(draft) == "smoke-camvid-480x360"


class TestWhere:
    def test_what_processes_mean(self, draft: Draft) -> None:
        words, suggested = hints(draft, 2)
        assert words.startswith("Each of 2 processes computes 2 crops at a time") and suggested == 1
        big = dataclasses.replace(draft, recipe=load_recipe("mseg-1080-3m"))
        words, suggested = hints(big, 1)
        assert "35 crops at a time" in words and suggested == 7
        assert hints(big.with_change("accumulate", 7), 1)[1] == 1 and hints(big, 7)[1] == 1
        assert hints(draft.with_change("batch", "x"), 1) == ("", 1)

    def test_too_many_processes(self, draft: Draft) -> None:
        assert "cannot share a batch of 4" in refusal(draft, 8)
        assert refusal(draft, 4) == "" and "2 parts each" in refusal(draft.with_change("accumulate", 2), 4)

    def test_the_lines_of_several_machines(self, tmp_path: Path) -> None:
        plan = plan_of(tmp_path, Where(processes=2, nnodes=2, rendezvous="host:29500", devices=("1", "3")))
        first, second = local_lines(plan)
        assert first.startswith("CUDA_VISIBLE_DEVICES=1,3 ") and "--node-rank=0" in first and "--node-rank=1" in second


class TestStart:
    def order(self, draft: Draft, **values: object) -> Order:
        config = check(draft).config
        assert config is not None
        order = Order(config, None, Where(processes=2), SlurmOptions(), Origin("smoke", processes=2))
        return dataclasses.replace(order, **values)

    def test_the_folder_is_whole_before_the_processes_start(self, draft: Draft) -> None:
        plans = []

        def start(plan: object) -> None:
            assert load_config(plan.folder / "config.yaml").datasets[0].classes
            plans.append(plan)

        expected = folder_for("try")
        folder = make_run(self.order(draft), Engine(start=start))
        assert folder == expected == runs_folder() / "try" and plans == [plan_of(folder, Where(processes=2))]
        assert origin_of(folder) == Origin("smoke", processes=2) and known_runs() == (folder,)
        assert make_run(self.order(draft), Engine(start=start)).name == "try-2"

    def test_a_start_that_fails_leaves_nothing(self, draft: Draft, tmp_path: Path) -> None:
        def fail(plan: object) -> None:
            raise RunFailed("no such luck", path=plan.folder)

        with pytest.raises(RunFailed, match="no such luck"):
            make_run(self.order(draft), Engine(start=fail))
        assert not folder_for("try").exists() and known_runs() == ()
        mine = tmp_path / "mine"
        mine.mkdir()
        with pytest.raises(RunFailed):
            make_run(self.order(draft, folder=mine), Engine(start=fail))
        assert mine.is_dir() and list(mine.iterdir()) == [], "the person's own folder stays, empty as it was"

    def test_a_full_disk_leaves_nothing(self, draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mseg_studio.training.run_folder.save_config", full)
        mine = tmp_path / "mine"
        for folder in (None, mine):
            with pytest.raises(OSError, match="No space"):
                make_run(self.order(draft, folder=folder), Engine(start=lambda _plan: None))
        assert not mine.exists() and not folder_for("try").exists()

    def test_a_folder_with_something_in_it_is_refused(self, draft: Draft, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(ConfigError, match="must be empty"):
            make_run(self.order(draft, folder=tmp_path), Engine(start=lambda _plan: None))
        assert (tmp_path / "thesis.txt").read_text() == "years of work"

    def test_elsewhere_it_is_found_again(self, draft: Draft, tmp_path: Path) -> None:
        folder = make_run(self.order(draft, folder=tmp_path / "there"), Engine(start=lambda _plan: None))
        assert known_runs() == (folder,)

    def test_only_the_folder(self, draft: Draft) -> None:
        def never(*_arguments: object) -> None:
            raise AssertionError("nothing starts")

        engine = Engine(start=never, submit=never)
        folder = make_run(self.order(draft, only_write=True), engine)
        assert (folder / "config.yaml").is_file() and not (folder / "launch.json").exists()
        options = SlurmOptions(partition="gpu")
        order = self.order(draft, only_write=True, where=Where(SLURM), options=options)
        assert "--partition=gpu" in (make_run(order, engine) / "slurm.sh").read_text()

    def test_slurm_gets_the_folder(self, draft: Draft) -> None:
        told = []
        options = SlurmOptions(partition="gpu", nodes=2)
        engine = Engine(submit=lambda *arguments: told.append(arguments))
        folder = make_run(self.order(draft, where=Where(SLURM), options=options), engine)
        assert told == [(folder, options, "try")]
        assert json.loads((folder / "slurm.json").read_text())["words"] == ["partition=gpu", "nodes=2"]


def write_atomic_to(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
