"""Small taxonomies, projections and score maps for the tests of this room."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection


def make_taxonomy(name: str = "small", ids: list[int] | None = None, *, classes: int = 5) -> Taxonomy:
    ids = list(range(classes)) if ids is None else ids
    rows = tuple(ClassInfo(i, f"class {i}", (i * 40 % 256, i * 90 % 256, 255 - i % 256)) for i in ids)
    return Taxonomy(name, rows, 255 if ids[-1] < 255 else 65535)


def make_projection(source: Taxonomy, target: Taxonomy, links: dict[int, int]) -> Projection:
    weights = np.zeros((target.num_channels, source.num_channels), np.float32)
    for source_id, target_id in links.items():
        weights[target_id, source_id] = 1
    return Projection(source, target, weights)


def make_dense(taxonomy: Taxonomy, height: int, width: int, *, seed: int = 0, sharpness: float = 3.0) -> np.ndarray:
    """Probabilities (num_channels, H, W), zero in holes."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((taxonomy.num_channels, height, width)) * sharpness
    scores = np.exp(logits)
    known = [info.id for info in taxonomy.classes]
    scores[np.setdiff1d(np.arange(taxonomy.num_channels), known)] = 0
    return (scores / scores.sum(axis=0)).astype(np.float32)


def make_score_map(taxonomy: Taxonomy, height: int = 5, width: int = 7, *, k: int = 3, seed: int = 0) -> ScoreMap:
    dense = make_dense(taxonomy, height, width, seed=seed)
    return ScoreMap.from_dense(dense, taxonomy=taxonomy, k=k, recipe_hash="r" * 64, model_sha256="m" * 64)


def make_labels(taxonomy: Taxonomy, height: int = 5, width: int = 7, *, seed: int = 0) -> LabelMap:
    """Random classes of the taxonomy, with the ignore id among them."""
    choices = [info.id for info in taxonomy.classes] + [taxonomy.ignore_id]
    ids = np.random.default_rng(seed).choice(choices, (height, width)).astype(taxonomy.id_dtype)
    return LabelMap(ids, taxonomy)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Taxonomy, Projection, np.ndarray]:
    """A source taxonomy with holes, a projection that merges and drops classes, and dense probabilities."""
    ids = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=20)))
    targets = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=6)))
    source, target = make_taxonomy("source", ids), make_taxonomy("target", targets)
    links = draw(st.lists(st.sampled_from([*targets, None]), min_size=len(ids), max_size=len(ids)))
    projection = make_projection(source, target, {i: t for i, t in zip(ids, links, strict=True) if t is not None})
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    sharpness = draw(st.sampled_from([0.1, 1.0, 4.0, 12.0]))
    return source, projection, make_dense(source, height, width, seed=draw(st.integers(0, 99)), sharpness=sharpness)
