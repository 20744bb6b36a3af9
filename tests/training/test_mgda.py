"""The shortest combination of gradients: on the simplex, never longer than any other, the brute force's."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.training.mgda import combine_gradients, min_norm_weights

_VECTORS = st.integers(0, 2**20).flatmap(
    lambda seed: st.tuples(
        st.just(seed), st.integers(1, 8), st.integers(1, 6), st.sampled_from([0.0, 0.3, 3.0]), st.sampled_from([0, 3])
    )
)


def _vectors(case: tuple[int, int, int, float, int]) -> npt.NDArray[np.float64]:
    """Vectors (D, P) that share a direction more or less, and whose lengths differ by orders of magnitude."""
    seed, count, size, shared, orders = case
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, size)) + shared * random.normal(size=size)
    return np.asarray(vectors * 10.0 ** random.uniform(-orders, orders, (count, 1)))


def _length(weights: npt.NDArray[np.float64], vectors: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(weights @ vectors))


@settings(deadline=None)
@given(_VECTORS)
def test_weights_are_on_the_simplex_and_nothing_near_is_shorter(case: tuple[int, int, int, float, int]) -> None:
    vectors = _vectors(case)
    count = len(vectors)
    weights = min_norm_weights(vectors @ vectors.T)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    found, longest = _length(weights, vectors), np.linalg.norm(vectors, axis=1).max()
    slack = 1e-3 * longest
    assert found <= np.linalg.norm(vectors, axis=1).min() + slack
    assert found <= _length(np.full(count, 1 / count), vectors) + slack
    for corner in np.eye(count):
        assert found <= _length(0.9 * weights + 0.1 * corner, vectors) + slack


@settings(deadline=None, max_examples=30)
@given(_VECTORS)
def test_it_is_what_trying_all_weights_finds(case: tuple[int, int, int, float, int]) -> None:
    seed, count, size, shared, _ = case
    vectors = _vectors((seed, min(count, 3), size, shared, 0))
    weights = min_norm_weights(vectors @ vectors.T)
    grid = np.linspace(0, 1, 41)
    tried = [one for one in itertools.product(grid, repeat=len(vectors)) if abs(sum(one) - 1) < 1e-9]
    best = min(_length(np.array(one), vectors) for one in tried)
    longest = np.linalg.norm(vectors, axis=1).max()
    assert _length(weights, vectors) <= best + 1e-9 * longest
    assert _length(weights, vectors) >= best - 0.05 * longest


@pytest.mark.parametrize(
    ("vectors", "wanted"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 0.0], [3.0, 0.0]], [1.0, 0.0]),
        ([[2.0, 0.0], [0.0, 1.0]], [0.2, 0.8]),
        ([[1.0, 0.0], [-1.0, 0.0]], [0.5, 0.5]),
        ([[1.0, 1.0]], [1.0]),
    ],
)
def test_what_geometry_says(vectors: list[list[float]], wanted: list[float]) -> None:
    gram = np.array(vectors) @ np.array(vectors).T
    np.testing.assert_allclose(min_norm_weights(gram), wanted, atol=1e-9)


def _gradients(*vectors: list[float]) -> list[list[torch.Tensor]]:
    """Each vector as the gradients of two parameters."""
    return [[torch.tensor(vector[:1]), torch.tensor([vector[1:]])] for vector in vectors]


def _whole(tensors: list[torch.Tensor]) -> list[float]:
    return torch.cat([tensor.flatten() for tensor in tensors]).tolist()


def test_equal_weights_are_the_sum() -> None:
    weights, combined = combine_gradients(_gradients([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]))
    assert weights == pytest.approx([1 / 3] * 3)
    assert _whole(combined) == pytest.approx([1.0, 1.0, 1.0])


def test_no_dataset_loses_by_the_combined_step() -> None:
    per_dataset = _gradients([1.0, 0.2, 0.0], [-0.4, 1.0, 0.0], [0.1, 0.3, 5.0])
    _, combined = combine_gradients(per_dataset)
    for one in per_dataset:
        assert np.dot(_whole(one), _whole(combined)) > 0


def test_gradients_are_of_every_datasets_own_mean() -> None:
    """A dataset with a tenth of the labelled pixels has a tenth of the gradient, and counts as much."""
    even, uneven = [1.0, 0.0, 0.0], [0.0, 0.1, 0.0]
    weights, combined = combine_gradients(_gradients(even, uneven), shares=(10 / 11, 1 / 11))
    means = [11 / 10, 11 * 0.1]
    assert weights == pytest.approx([0.5, 0.5])
    assert _whole(combined) == pytest.approx([means[0] / 2, means[1] / 2, 0.0])


def test_a_dataset_without_a_gradient_is_left_out() -> None:
    weights, combined = combine_gradients(_gradients([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    assert weights == pytest.approx([0.0, 0.5, 0.5])
    assert _whole(combined) == pytest.approx([1.0, 1.0, 0.0])


def test_without_any_gradient_nothing_moves() -> None:
    weights, combined = combine_gradients(_gradients([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]))
    assert weights == (0.0, 0.0)
    assert _whole(combined) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_stays_seen(bad: float) -> None:
    """The step is skipped by whoever looks at the gradient: it must not come out finite."""
    _, combined = combine_gradients(_gradients([bad, 0.0, 0.0], [1.0, 0.0, 0.0]))
    assert not np.isfinite(_whole(combined)).all()
