"""The options that say how labels are read from scores: which classes, how sure, how steady over time."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mseg_studio.cli.command import UsageError

if TYPE_CHECKING:
    from mseg_studio.labels.readout import Readout
    from mseg_studio.taxonomy.model import Taxonomy


def add_readout_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --only, --min-confidence and --smooth. None of them changes what the network does."""
    group = parser.add_argument_group("readout of the scores")
    group.add_argument(
        "--only",
        type=_words,
        default=(),
        metavar="CLASS,...",
        help="classes of the output that take part, by name, alias or id (default: all)",
    )
    group.add_argument(
        "--min-confidence",
        type=_share,
        default=0.0,
        metavar="X",
        help="labels less sure than this, 0 to 1, become unlabeled (default: 0)",
    )
    group.add_argument(
        "--smooth",
        type=_weight,
        default=0.0,
        metavar="X",
        help="weight of the frames before in a video, more than 0 and less than 1 (default: every frame by itself)",
    )


def readout_of(arguments: argparse.Namespace, taxonomy: Taxonomy) -> Readout:
    """The readout that the options ask for in the output taxonomy. Raises UsageError with the nearest class names."""
    from mseg_studio.errors import TaxonomyError
    from mseg_studio.labels.readout import Readout
    from mseg_studio.taxonomy.search import class_ids

    try:
        return Readout(class_ids(taxonomy, arguments.only), arguments.min_confidence)
    except TaxonomyError as error:
        raise UsageError(f"--only: {error}") from error


def _words(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise argparse.ArgumentTypeError("names no class")
    return words


def _share(text: str) -> float:
    from mseg_studio.errors import ConfigError
    from mseg_studio.labels.readout import Readout

    try:
        return Readout(min_confidence=float(text)).min_confidence
    except (ValueError, ConfigError):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to 1") from None


def _weight(text: str) -> float:
    from mseg_studio.errors import ConfigError
    from mseg_studio.labels.smoothing import check_weight

    try:
        return check_weight(float(text))
    except (ValueError, ConfigError):
        raise argparse.ArgumentTypeError(f"'{text}' is no number between 0 and 1, both excluded") from None
