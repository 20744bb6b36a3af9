"""`mseg-studio train --dry-run`: what a run will take, measured on its first steps."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import FAILED, OK
from mseg_studio.cli.terminal import cancel_on_signals, print_json
from mseg_studio.errors import printable
from mseg_studio.progress import duration

if TYPE_CHECKING:
    from mseg_studio.training.launcher import LaunchPlan
    from mseg_studio.training.preflight import Preflight
    from mseg_studio.training.run_checks import Checked


def dry_run(checked: Checked, plan: LaunchPlan, arguments: argparse.Namespace) -> int:
    """Measure and tell; gives the exit code. Raises RunFailed when the processes fail."""
    from mseg_studio.cli.train import progress_teller
    from mseg_studio.training.preflight import measure
    from mseg_studio.training.run_checks import batch_norm_words

    if arguments.slurm is not None:
        return _slurm(checked.config.name, plan, arguments)
    words = batch_norm_words(checked.config, plan.world_size)
    notes = [] if words in checked.warnings else [words]
    if plan.nnodes > 1:
        notes.append(
            f"measured with the {plan.processes} processes of this machine: a step of all {plan.world_size} takes "
            f"less, about {plan.nnodes} times where the network between the machines is fast"
        )
        plan = dataclasses.replace(plan, nnodes=1, rendezvous="")
    show = progress_teller(as_json=arguments.progress_json)
    with cancel_on_signals() as cancel:
        try:
            found = measure(
                checked.config, plan, validate_images=checked.validate_images, on_progress=show, cancel=cancel
            )
        finally:
            show.done()
    warnings = [*checked.warnings, *_warnings(found)]
    argv = shlex.join(_shown_argv(plan, arguments))
    if arguments.json:
        told: dict[str, Any] = {**dataclasses.asdict(found), "warnings": warnings, "notes": notes, "command": argv}
        told |= {"train_images": checked.train_images, "validate_images": checked.validate_images}
        print_json({"preflight": told})
    else:
        print("\n".join(_lines(found, checked)))
        for text in notes:
            print(f"note: {printable(text)}")
        for text in warnings:
            print(f"warning: {printable(text)}")
        print(f"command: {printable(argv)}")
    return FAILED if found.disk_free_bytes < found.disk_bytes else OK


def _lines(found: Preflight, checked: Checked) -> list[str]:
    config = checked.config
    validation = "none" if found.validation_s is None else f"{duration(found.validation_s)} each"
    where = f"{found.processes} processes on {found.device}" if found.processes > 1 else found.device
    return [
        f"data: {checked.train_images} training images, {checked.validate_images} in a validation",
        f"a step: {found.seconds_per_step:.3g} s for {config.batch} crops, {found.images_per_s:.3g} images/s ({where}; "
        f"{found.steps_measured} measured)",
        f"memory: {_gb(found.memory_bytes)} at its highest, of {_gb(found.memory_total_bytes)}",
        f"validation: {validation}, every {config.validate_every} steps",
        f"total: {duration(found.seconds_total)} for {config.steps} steps",
        f"disk: {_gb(found.disk_bytes)} for checkpoints of {_gb(found.checkpoint_bytes)}, {_gb(found.disk_free_bytes)} "
        "are free",
    ]


def _warnings(found: Preflight) -> list[str]:
    warnings = []
    if found.memory_bytes > 0.9 * found.memory_total_bytes:
        warnings.append("the memory is nearly full: a larger crop or another program may end the run")
    if found.disk_free_bytes < found.disk_bytes:
        warnings.append(f"the disk is too full: {_gb(found.disk_bytes)} are needed")
    if found.steps_measured < 2:
        warnings.append("only one step could be measured, and the first is slower than the others")
    return warnings


def _shown_argv(plan: LaunchPlan, arguments: argparse.Namespace) -> list[str]:
    folder = arguments.output.absolute() if arguments.output is not None else plan.folder
    return [word if word != str(plan.folder.absolute()) else str(folder) for word in plan.argv()]


def _slurm(name: str, plan: LaunchPlan, arguments: argparse.Namespace) -> int:
    """The batch script: nothing is measured, for the nodes are other machines than this."""
    from mseg_studio.training import slurm

    text = slurm.script(plan.folder, slurm.SlurmOptions.parse(arguments.slurm), name=name)
    if arguments.json:
        note = "nothing is measured: the job's nodes are other machines than this one"
        print_json({"script": text, "notes": [note]})
    else:
        print(text)
    return OK


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"
