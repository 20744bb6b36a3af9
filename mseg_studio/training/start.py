"""The network of a run and the weights it begins with: chosen, strict, and said line by line."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mseg_studio.errors import CheckpointError, ConfigError, MSegStudioError, nearest
from mseg_studio.networks.catalog import InstalledModel
from mseg_studio.networks.checkpoint import Mismatch, compare, known_networks, recognise
from mseg_studio.networks.spec import NetworkSpec
from mseg_studio.training.config import TrainConfig
from mseg_studio.training.head import Head, head_of
from mseg_studio.training.start_choice import start_of
from mseg_studio.training.start_rows import plan_rows
from mseg_studio.training.start_source import StartSource, read_start

_COUNTER = ".num_batches_tracked"
"""Files of old PyTorch versions lack these; nothing here reads them."""


@dataclass(frozen=True, slots=True)
class StartReport:
    """What became of every tensor, for the log."""

    lines: tuple[str, ...]


def find_network(name: str) -> NetworkSpec:
    """The network called `name`. Raises ConfigError with the nearest names."""
    networks = known_networks()
    if name not in networks:
        raise ConfigError(f"unknown network '{name}'{nearest(name, networks)}")
    return networks[name]


def build_network(config: TrainConfig, head: Head) -> nn.Module:
    """The network with random weights from the seed, on the CPU; torch's own generator is left as it was.

    Raises ConfigError for an unknown network and for crops that it does not take.
    """
    spec = find_network(config.network)
    try:
        spec.check_crop(config.augment.crop_px)
        spec.check_crop(config.card_crop_px)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        network: nn.Module = spec.build(len(head.rows))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = config.optim.norm_momentum
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def load_start(network: nn.Module, config: TrainConfig, head: Head) -> StartReport:
    """Put the chosen weights into a network of `build_network`, on any device.

    Raises ConfigError when nothing is chosen, CheckpointError when what is chosen does not fit: only the classifier of
    a backbone is left out, only what a backbone lacks and classes that are not known stay random.
    """
    chosen = start_of(config.start)
    if chosen is None:
        return StartReport((f"start: random weights from seed {config.seed}, all {len(network.state_dict())} tensors",))
    spec = find_network(config.network)
    source = _read(chosen, spec)
    try:
        lines = _load(network, source, spec, head)
    except CheckpointError as error:
        raise CheckpointError(error.reason, path=source.path) from error
    return StartReport((f"start: {source.what}", *lines))


def known_classes(config: TrainConfig, head: Head, *, seen: tuple[Path, ...] = ()) -> tuple[str, ...]:
    """Classes that a run's model knows: those it learned, and those its start knew before; () where these are all.

    Only a head of all classes keeps what the start knew. Where the start is gone only the learned ones are sure.
    `seen` is what was asked already, of runs that begin with one another.
    """
    try:
        chosen = start_of(config.start)
        if chosen is None or config.head != "all":
            return head.trained
        spec = find_network(config.network)
        source = _read(chosen, spec, seen=seen)
    except MSegStudioError:
        return head.trained
    if spec.head_weight_key not in source.tensors:
        return head.trained
    plan = plan_rows(head, taxonomy=source.taxonomy, rows=source.rows, count=len(source.tensors[spec.head_weight_key]))
    known = tuple(name for row, name in enumerate(head.rows) if name and (row in plan.copied or name in head.trained))
    return () if set(known) == {name for name in head.rows if name} else known


def _read(chosen: InstalledModel | Path, spec: NetworkSpec, *, seen: tuple[Path, ...] = ()) -> StartSource:
    """`read_start`; of a run's checkpoint only the rows that it knew have a class."""
    source = read_start(chosen, head_key=spec.head_weight_key)
    if source.run is None:
        return source
    head = head_of(source.run)
    been_here = source.path in seen
    known = head.trained if been_here else known_classes(source.run, head, seen=(*seen, source.path))
    if not known:
        return source
    return dataclasses.replace(source, rows=tuple(name if name in known else "" for name in source.rows))


def _load(network: nn.Module, source: StartSource, spec: NetworkSpec, head: Head) -> list[str]:
    """Copy what fits and say what became of every tensor; CheckpointError where one is not accounted for."""
    own = network.state_dict()
    is_backbone = spec.head_weight_key not in source.tensors
    state, extras = _without_classifier(source.tensors, spec) if is_backbone else (dict(source.tensors), [])
    count = len(head.rows) if is_backbone else len(source.tensors[spec.head_weight_key])
    _check_fits(spec, count, state, is_backbone=is_backbone)
    plan = plan_rows(head, taxonomy=source.taxonomy, rows=source.rows, count=count)
    made: dict[str, Tensor] = {}
    copied: list[str] = []
    random: list[str] = []
    counters: list[str] = []
    for key, value in own.items():
        layer, _, kind = key.rpartition(".")
        if layer in spec.class_layers and not is_backbone:
            made[key] = plan.apply(value, state[key], is_bias=kind == "bias")
            continue
        made[key] = state.get(key, value)
        fate = copied if key in state else counters if key.endswith(_COUNTER) else random
        fate.append(key)
    network.load_state_dict(made, strict=True)
    lines = [f"copied: {len(copied)} tensors ({_by_part(copied)})"]
    lines += [f"left out, the backbone's classifier: {len(extras)} tensors ({_by_part(extras)})"] * bool(extras)
    lines += [f"random from the seed: {len(random)} tensors ({', '.join(random)})"] * bool(random)
    lines += [f"counters of norms that start at 0: {len(counters)}"] * bool(counters)
    return lines if is_backbone else lines + plan.lines(head)


def _without_classifier(tensors: Mapping[str, Tensor], spec: NetworkSpec) -> tuple[dict[str, Tensor], list[str]]:
    """A backbone's tensors under the network's keys, and the keys of its classifier."""
    names = dict(spec.backbone_renamed)
    state, extras = {}, []
    for key, value in tensors.items():
        part, dot, rest = key.partition(".")
        if part in spec.backbone_extras:
            extras.append(key)
        else:
            state[names.get(part, part) + dot + rest] = value
    return state, extras


def _check_fits(spec: NetworkSpec, count: int, state: Mapping[str, Tensor], *, is_backbone: bool) -> None:
    """Raise CheckpointError unless every tensor has its place and every place its tensor, but for a backbone's head."""
    found = compare(spec, count, state)

    def is_needed(key: str) -> bool:
        return not key.endswith(_COUNTER) and not (is_backbone and key.partition(".")[0] in spec.backbone_lacks)

    mismatch = Mismatch(tuple(filter(is_needed, found.missing)), found.unexpected, found.reshaped)
    if mismatch:
        raise CheckpointError(f"does not fit {spec.name}: {mismatch}{_what_it_is(state, spec)}")
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"holds values that are no numbers (NaN or infinite): {', '.join(broken[:3])}")


def _what_it_is(state: Mapping[str, Tensor], spec: NetworkSpec) -> str:
    try:
        found = recognise(state)
    except CheckpointError:
        return ""
    return f"; it is {found.spec.name} with {found.num_classes} classes" if found.spec.name != spec.name else ""


def _by_part(keys: list[str]) -> str:
    """How many keys every first word has."""
    parts = Counter(key.partition(".")[0] for key in keys)
    return ", ".join(f"{part} {count}" for part, count in parts.items())
