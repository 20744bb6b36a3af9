"""Options of Slurm as words, and the script made of them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.training.slurm_script import SlurmOptions, _seconds, job_name, sbatch_argv, script

ALL = (
    "partition=gpu,long", "account=vision", "qos=high", "time=1-12:30", "nodes=2", "processes_per_node=3",
    "gpus_per_node=4", "cpus_per_process=8", "memory=64G", "constraint=a100&nvlink", "reservation=r_1", "requeue=no",
    "signal_s=300", "setup=module load cuda", "setup=source 'my env'/bin/activate", "extra=--exclusive",
    "extra=--mail-type=END", "python=/opt/my env/bin/python",
)  # fmt: skip


def test_words_become_options_and_words_again() -> None:
    options = SlurmOptions.parse(ALL)
    assert (options.nodes, options.processes, options.world, options.requeue) == (2, 3, 6, False)
    assert options.setup == ("module load cuda", "source 'my env'/bin/activate")
    assert options.words() == ALL
    assert SlurmOptions.parse(()) == SlurmOptions()
    assert SlurmOptions().words() == ()
    assert SlurmOptions.parse(["gpus_per_node=4", "nodes=2"]).world == 8


def test_the_script_asks_for_everything() -> None:
    lines = script(Path("/runs/a"), SlurmOptions.parse(ALL), name="city").splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert asked == [
        "--job-name=city", "--partition=gpu,long", "--account=vision", "--qos=high", "--reservation=r_1",
        "--constraint=a100&nvlink", "--time=1-12:30", "--nodes=2", "--ntasks=6", "--ntasks-per-node=3",
        "--gpus-per-node=4", "--cpus-per-task=8", "--mem=64G", "--signal=B:USR2@300", "--output=log/launcher.txt",
        "--open-mode=append", "--no-requeue", "--exclusive", "--mail-type=END",
    ]  # fmt: skip
    assert lines[0] == "#!/bin/bash"
    assert lines[-3:] == [
        "module load cuda",
        "source 'my env'/bin/activate",
        "exec '/opt/my env/bin/python' -m mseg_studio.training.slurm_job /runs/a",
    ]


@pytest.mark.parametrize("name", ['it\'s 50 % of "$HOME"; `rm -rf x` $(y) \\ &', "zwei\nZeilen", "Straße 街", "-n"])
def test_any_folder_reaches_the_job_as_it_is(tmp_path: Path, name: str) -> None:
    """Bash itself runs the script, with a program in the place of Python that prints its arguments."""
    folder = tmp_path / name
    show = tmp_path / "show me"
    show.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    show.chmod(0o755)
    text = script(folder, SlurmOptions(python=str(show)))
    done = subprocess.run(["bash", "-c", text], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [b"-m", b"mseg_studio.training.slurm_job", bytes(folder)]
    assert done.stderr == b""
    assert shlex.split(shlex.join(sbatch_argv(folder)))[2:] == [f"--chdir={folder}", f"{folder}/slurm.sh"]


def test_the_interpreter_is_this_one_unless_said_otherwise() -> None:
    assert f"exec {shlex.quote(sys.executable)} -m" in script(Path("/runs/a"), SlurmOptions())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("city day", "city-day"), ("a;$(b)", "a-b"), ("街", "mseg"), ("x" * 99, "x" * 64), ("--nodes=9", "nodes-9")],
)
def test_names_of_jobs_hold_plain_letters(name: str, expected: str) -> None:
    assert job_name(name) == expected


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("4:30", 270), ("1:2:3", 3723), ("2-12", 216000), ("1-0:5", 86700), ("1-0:0:7", 86407)],
)
def test_time_limits_are_read_as_slurm_does(time: str, seconds: int) -> None:
    assert _seconds(time) == seconds


def test_a_limit_that_leaves_no_time_to_train_is_refused() -> None:
    """It would be told to save at once and put back into the queue for ever."""
    assert SlurmOptions.parse(["time=3:01"]).time == "3:01"
    assert SlurmOptions.parse(["time=0", "signal_s=600"]).time == "0", "no limit"
    with pytest.raises(ConfigError, match="Slurm option time is '3', expected more than 180 s"):
        SlurmOptions.parse(["time=3"])
    with pytest.raises(ConfigError, match="Slurm option time is '10', expected more than 660 s"):
        SlurmOptions.parse(["time=10", "signal_s=600"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["partion=gpu"], "unknown Slurm option 'partion'; did you mean partition"),
        (["gpus_node=4"], "unknown Slurm option 'gpus_node'; did you mean gpus_per_node"),
        (["gpu"], "'gpu' is no option of Slurm, expected key=value as in partition=gpu"),
        (["nodes=2", "nodes=3"], "Slurm option 'nodes' is given twice"),
        (["nodes=two"], "Slurm option nodes is 'two', expected a whole number"),
        (["nodes=0"], "Slurm option nodes is 0, expected at least 1"),
        (["nodes=-1"], "Slurm option nodes is '-1', expected a whole number"),
        (["requeue=maybe"], "Slurm option requeue is 'maybe', expected yes or no"),
        (["time=soon"], "Slurm option time is 'soon', expected minutes, hours:minutes:seconds or days-hours"),
        (["memory=64 GB"], "Slurm option memory is '64 GB', expected a number and K, M, G or T"),
        (["partition=a b"], "Slurm option partition is 'a b', expected a name"),
        (["partition=a\n#SBATCH --uid=0"], "Slurm option partition is"),
        (["extra=--comment=it's"], "Slurm option extra is"),
        (["extra=exclusive"], "Slurm option extra is 'exclusive', expected an option of sbatch"),
        (["setup=a\nb"], "has a line break, expected one line"),
        (["signal_s=5"], "Slurm option signal_s is 5, expected at least 10"),
        (["signal_s=70000"], "Slurm option signal_s is 70000, expected at most 65535"),
    ],
)
def test_what_cannot_be_right_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SlurmOptions.parse(words)
    assert message in str(caught.value)
