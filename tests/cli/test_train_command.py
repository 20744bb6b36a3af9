from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mseg_studio.cli.main import main
from mseg_studio.cli.train_options import dataset_of_word
from mseg_studio.errors import MSegStudioError, RunFailed
from mseg_studio.training.config_file import load_config, save_config
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_processes import launched
from mseg_studio.training.run_state import read_state
from mseg_studio.training.runs import known_runs, runs_folder
from tests.training.factory import make_config, make_dataset
from tests.training.run_factory import end_run, wait_for, wait_for_steps, wait_until, wait_until_gone


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["train", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def lines(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a few quick steps."""
    path = tmp_path / "tiny.yaml"
    save_config(path, make_config(make_dataset(tmp_path / "data"), log_every=1))
    return path


@pytest.fixture
def folder(tmp_path: Path):
    path = tmp_path / "run"
    yield path
    if path.exists():
        end_run(path)


def test_recipes_are_listed(capsys):
    code, out, err = run(capsys, "--list")
    assert (code, err) == (0, "") and "smoke  " in out
    told = lines(run(capsys, "--list", "--json")[1])
    assert {"name", "title", "about", "datasets", "needs_start"} <= set(told[0])


def test_a_run_to_its_end(capsys, config, folder):
    code, out, err = run(capsys, str(config), "--output", str(folder), "--set", "steps=3", "--name", "mine")
    assert code == 0, out + err
    assert "mIoU" in out and "finished at step 3 of 3" in out and "mseg_studio.training.worker" in out
    assert load_config(folder / "config.yaml").name == "mine"
    assert known_runs() == (folder,)
    assert run(capsys, str(config), "--output", str(folder))[0] == 2


def test_json_lines(capsys, config, folder):
    code, out, _ = run(capsys, str(config), "--output", str(folder), "--set", "steps=2", "--json")
    told = lines(out)
    assert code == 0
    assert told[0]["run"] == str(folder) and told[0]["argv"][-1] == str(folder)
    assert {"start", "step", "validation", "save"} <= {line.get("event") for line in told}
    assert told[-1]["result"]["state"] == "finished" and told[-1]["result"]["step"] == 2


def test_everything_wrong_is_said_at_once_and_nothing_starts(capsys, config):
    (config.parent / "data" / "trainannot" / "a_0.png").unlink()
    settings = ["network=hrnet-w18-smal", "accumulate=9", "samples=[none.png]"]
    code, out, err = run(capsys, str(config), "--start", "", *(word for one in settings for word in ("--set", one)))
    assert (code, out) == (2, "")
    for words in ("start is not chosen", "did you mean hrnet-w18-small", "too small", "a_0.png", "none.png"):
        assert words in err
    assert not runs_folder().exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("smok",), "did you mean smoke"),
        ((), "required"),
        (("none.yaml",), "no such file"),
        (("smoke",), "none is given; say it as in --dataset my.yaml"),
        (
            ("smoke", "--dataset", "camvid-480x360"),
            "not known where camvid-480x360 lies; say it as in --dataset camvid",
        ),
        (("smoke", "--dataset", "nope=/nowhere"), "no such file or folder"),
        (("CONFIG", "--set", "optim.rl=1"), "did you mean"),
        (("CONFIG", "--set", "steps=many"), "steps is 'many', expected a whole number"),
        (("CONFIG", "--set", "augment.crop_px=40"), "try 41"),
        (("CONFIG", "--processes", "0"), "expected 1 or more"),
        (("CONFIG", "--devices", "5,6"), "no GPU 5"),
        (("CONFIG", "--nnodes", "2"), "rendezvous"),
        (("CONFIG", "--node-rank", "1", "--nnodes", "2"), "--output"),
        (("CONFIG", "--slurm", "partitoin=gpu"), "did you mean partition"),
        (("CONFIG", "--processes", "3"), "too small for 3 processes"),
    ],
)
def test_a_wrong_command_line(capsys, config, arguments, words):
    code, out, err = run(capsys, *(str(config) if word == "CONFIG" else word for word in arguments))
    assert (code, out) == (2, "") and words in err
    assert not known_runs()


def test_a_ready_dataset_without_splits_names_the_one_that_has_them(capsys, tmp_path):
    code, _, err = run(capsys, "smoke", "--dataset", f"camvid={tmp_path}")
    assert code == 2 and "no split 'train'" in err and "perhaps you mean --dataset camvid-480x360=DIR" in err


def test_a_full_disk_is_told_before_the_start(capsys, config, monkeypatch):
    from mseg_studio.training import run_checks

    monkeypatch.setattr(run_checks, "free_bytes", lambda folder: 1000)
    code, _, err = run(capsys, str(config))
    assert code == 2 and "MB are needed for checkpoints and 0 MB are free" in err


def test_datasets_by_name_place_and_file(tmp_path):
    description = make_dataset(tmp_path / "data")
    assert dataset_of_word(str(description)).name == "tiny"
    named = dataset_of_word(f"mine={description}")
    assert (named.name, named.description) == ("mine", str(description))
    ready = dataset_of_word(f"cityscapes={tmp_path}")
    assert (ready.name, ready.description, ready.root) == ("cityscapes", "cityscapes", str(tmp_path))
    assert dataset_of_word("cityscapes").root == ""
    with pytest.raises(MSegStudioError, match="did you mean cityscapes"):
        dataset_of_word(f"cityscape={tmp_path}")


def test_the_histogram(capsys, config):
    code, out, _ = run(capsys, str(config), "--histogram", "--json")
    told = lines(out)[-1]["histogram"]
    assert code == 0 and set(told["classes"]) == {"sky", "road", "car"} and told["images"] == 3
    assert run(capsys, str(config), "--histogram")[1].splitlines()[-1].endswith("ignored")


def test_the_dry_run_measures_and_leaves_nothing(capsys, config):
    code, out, _ = run(capsys, str(config), "--dry-run", "--json", "--progress-json", "--set", "steps=50")
    told = lines(out)
    assert code == 0 and all(set(line) == {"progress"} for line in told[:-1]) and len(told) > 2
    found = told[-1]["preflight"]
    assert found["seconds_per_step"] > 0 and found["seconds_total"] >= 50 * found["seconds_per_step"]
    assert 50e6 < found["memory_bytes"] < found["memory_total_bytes"]
    assert found["disk_bytes"] == 4 * found["checkpoint_bytes"] > 1e6
    assert "mseg_studio.training.worker" in found["command"] and found["train_images"] == 3
    assert known_runs() == () and list((runs_folder() / ".preflight").iterdir()) == []


def test_a_dry_run_that_fails_says_why(capsys, config):
    image = config.parent / "data" / "train" / "a_0.png"
    image.write_bytes(image.read_bytes()[:60])
    (config.parent / "data" / "train" / "b_1.png").write_bytes(b"\x89PNG\r\n")
    (config.parent / "data" / "train" / "a_2.png").write_bytes(b"\x89PNG\r\n")
    code, _, err = run(capsys, str(config), "--dry-run")
    assert code == 1 and ".png" in err
    assert list((runs_folder() / ".preflight").iterdir()) == []


def test_a_dry_run_does_not_outlive_its_killed_command(config):
    command = [sys.executable, "-m", "mseg_studio", "train", str(config), "--dry-run", "--set", "steps=100000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        place = runs_folder() / ".preflight"
        path = wait_for(lambda: next(iter(place.glob("*/launch.json")), None)).parent
        wait_for(lambda: launched(path) and launched(path).alive)
        process.kill()
    wait_until_gone(path)


def test_a_dry_run_on_slurm_shows_the_script(capsys, config):
    code, out, _ = run(capsys, str(config), "--dry-run", "--slurm", "partition=gpu", "nodes=2")
    assert code == 0 and "#SBATCH --partition=gpu" in out and "#SBATCH --nodes=2" in out


def test_slurm_submits_and_keeps_its_words(capsys, config, folder, monkeypatch):
    from mseg_studio.training import slurm

    monkeypatch.setattr(slurm, "submit", lambda path, options, name: f"{options.nodes}7")
    code, out, _ = run(capsys, str(config), "--output", str(folder), "--slurm", "nodes=2", "time=10", "--json")
    assert code == 0 and lines(out)[0] == {"run": str(folder), "job_id": "27"}
    assert json.loads((folder / "slurm.json").read_text())["words"] == ["nodes=2", "time=10"]


def test_a_start_that_fails_leaves_nothing(capsys, config, folder, monkeypatch):
    from mseg_studio.training import launcher

    def refuse(plan):
        raise RunFailed("no", path=plan.folder)

    monkeypatch.setattr(launcher, "start", refuse)
    assert run(capsys, str(config), "--output", str(folder))[0] == 1
    assert not folder.exists() and known_runs() == ()


def test_a_further_machine_waits_for_the_first_and_adds_its_processes(capsys, config, folder, monkeypatch):
    from mseg_studio.cli import train
    from mseg_studio.training import launcher

    words = (str(config), "--output", str(folder), "--nnodes", "2", "--rendezvous", "a:1", "--node-rank", "1")
    monkeypatch.setattr(train, "_JOIN_LIMIT_S", 0.0)
    code, _, err = run(capsys, *words)
    assert code == 2 and "has started no run" in err
    RunFolder.create(folder, load_config(config)).write_launch(world_size=2, nnodes=2, engine="torchrun")
    started = []
    monkeypatch.setattr(launcher, "start", started.append)
    code, out, _ = run(capsys, *words, "--json")
    (folder / "launch.json").unlink()  # it names this process
    assert code == 0 and lines(out)[0]["processes"] == 2
    assert (started[0].node_rank, started[0].folder) == (1, folder)


def follower(config: Path, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mseg_studio", "train", str(config), "--output", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_ctrl_c_saves_and_stops(config, folder):
    with follower(config, folder, "--set", "steps=100000") as process:
        wait_for_steps(folder)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130 and b"stopping" in err and b"stopped at step" in out
    seen = wait_until(folder, "stopped")
    assert seen.step > 0 and (folder / "checkpoints" / "latest").exists()


def test_the_run_outlives_a_killed_terminal_and_a_killed_rank_is_named(capsys, config, folder):
    with follower(config, folder, "--set", "steps=100000", "--processes", "2") as process:
        wait_for_steps(folder)
        process.kill()
        process.communicate()
    seen = wait_for_steps(folder, read_state(folder).step + 2)
    assert seen.processes == 2 and len(seen.pids) == 3
    rank = json.loads((folder / "ranks" / "1.json").read_text())
    os.kill(rank["pid"], signal.SIGKILL)
    seen = wait_until(folder, "failed")
    assert seen.rank == 1 and "killed by hand" in seen.reason
    wait_until_gone(folder)
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["rank"]) == ("failed", 1) and "signal 9" in result["reason"]
    assert main(["runs", "resume", str(folder), "--processes", "1", "--detach"]) == 0
    wait_for_steps(folder)
    assert read_state(folder).processes == 1
    assert psutil.Process(launched(folder).pid).is_running()


def test_help_needs_no_torch():
    code = (
        "import sys; from mseg_studio.cli.main import main; main(['train', '--help']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert "example: mseg-studio train smoke --dataset camvid-480x360=/data/camvid" in done.stdout
