"""The banded loss against upsampling everything and torch's cross entropy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mseg_studio.training import banded_loss
from mseg_studio.training.banded_loss import Interpolation, banded_cross_entropy
from mseg_studio.training.losses import cross_entropy

_SIDE = st.integers(1, 7)
_WIDE = st.integers(1, 90)


def _eager(strided: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    logits = functional.interpolate(strided, size=labels.shape[-2:], mode="bilinear", align_corners=True)
    return cross_entropy(logits, labels, weights)


def _both(
    strided: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, band_values: int | None = None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(loss, gradient) of the banded and of the eager loss."""
    found = []
    for loss in (lambda *a: banded_cross_entropy(*a, band_values=band_values), _eager):
        leaf = strided.detach().clone().requires_grad_()
        value = loss(leaf, labels, weights)
        (value * 3).backward()
        assert leaf.grad is not None
        found.append((value.detach(), leaf.grad / 3))
    return found


def _assert_same(found: list[tuple[torch.Tensor, torch.Tensor]], *, relative: float = 1e-5) -> None:
    (value, gradient), (wanted, wanted_gradient) = found
    assert value.item() == pytest.approx(wanted.item(), rel=relative, abs=1e-7)
    largest = wanted_gradient.abs().max().item()
    rounding = 32 * torch.finfo(gradient.dtype).eps  # pixels together pull with 1 at most, and may cancel
    torch.testing.assert_close(gradient, wanted_gradient, rtol=0, atol=relative * largest + rounding)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**20),
    images=st.integers(1, 3),
    classes=st.integers(1, 6),
    small=st.tuples(_SIDE, _SIDE),
    size=st.tuples(_WIDE, _WIDE),
    ignored=st.sampled_from([0.0, 0.3, 0.97, 1.0]),
    rows_left_out=st.integers(0, 90),
    weighted=st.booleans(),
    band_values=st.integers(1, 4000),
    spread=st.sampled_from([0.1, 3.0, 30.0]),
)
def test_it_is_the_eager_loss(
    seed: int,
    images: int,
    classes: int,
    small: tuple[int, int],
    size: tuple[int, int],
    ignored: float,
    rows_left_out: int,
    weighted: bool,
    band_values: int,
    spread: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    strided = torch.randn(images, classes, *small, generator=generator) * spread
    labels = torch.randint(0, classes, (images, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    labels[:, :rows_left_out] = 255
    weights = torch.rand(classes, generator=generator) + 0.1 if weighted else None
    exact, wanted = _both(strided.double(), labels, None if weights is None else weights.double(), band_values)
    _assert_same([exact, wanted])
    # against float64: where many pixels share a logit, torch's sums of float32 lose more digits than the bands do
    _assert_same([_both(strided, labels, weights, band_values)[0], (wanted[0].float(), wanted[1].float())])


@pytest.mark.parametrize("weights", [None, torch.linspace(0.5, 2, 194)])
def test_at_the_size_and_layout_of_a_training_step(weights: torch.Tensor | None) -> None:
    generator = torch.Generator().manual_seed(0)
    strided = torch.randn(2, 194, 21, 21, generator=generator).to(memory_format=torch.channels_last) * 4
    labels = torch.randint(0, 194, (2, 81, 81), generator=generator)
    labels[0, 10:30] = 255
    _assert_same(_both(strided, labels, weights))


def test_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    strided = torch.randn(2, 3, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 3, (2, 9, 11), generator=generator)
    labels[0, :4] = 255
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    for band_values in (1, 70, 10**6):
        assert torch.autograd.gradcheck(
            lambda x, values=band_values: banded_cross_entropy(x, labels, weights, band_values=values), strided
        )


def test_neighbours_that_are_sure_of_different_classes() -> None:
    """Between them every logit is so far below the largest of the two that float32 has no power of it."""
    strided = torch.zeros(1, 3, 2, 2)
    strided[0, 0, 0], strided[0, 1, 1] = 500.0, 500.0
    strided[0, 2, 0, 1] = 480.0
    labels = torch.arange(3).repeat(27)[:81].view(1, 9, 9)
    found = _both(strided, labels, None)
    assert torch.isfinite(found[0][1]).all()
    _assert_same(found)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_a_batch_without_labels_costs_nothing(weights: torch.Tensor | None) -> None:
    strided = torch.randn(2, 3, 3, 3, requires_grad=True)
    value = banded_cross_entropy(strided, torch.full((2, 9, 9), 255), weights)
    value.backward()
    assert value.item() == 0
    assert strided.grad is not None
    assert torch.all(strided.grad == 0)


def test_bands_without_labels_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    band = banded_loss._band

    def counted(matrix: torch.Tensor, *args: object, **named: object) -> object:
        made.append(len(matrix))
        return band(matrix, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(banded_loss, "_band", counted)
    labels = torch.full((2, 9, 9), 255)
    labels[1, 4, 3] = 2
    banded_cross_entropy(torch.randn(2, 3, 3, 3), labels, None, band_values=4 * 9 * 3)
    assert made == [4]


def test_no_band_is_larger_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    powers = banded_loss._powers

    def noted(band_PC: torch.Tensor, *args: object, **named: object) -> object:
        sizes.append(band_PC.numel())
        return powers(band_PC, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(banded_loss, "_powers", noted)
    labels = torch.zeros(3, 33, 33, dtype=torch.long)
    banded_cross_entropy(torch.randn(3, 5, 9, 9), labels, None, band_values=1000)
    assert sum(sizes) == 3 * 33 * 33 * 5
    assert max(sizes) <= 1000


def test_the_same_bits_every_time_and_with_or_without_a_gradient() -> None:
    strided = torch.randn(2, 5, 9, 9)
    labels = torch.randint(0, 5, (2, 33, 33))
    (value, gradient), _ = _both(strided, labels, None, 700)
    (again, gradient_again), _ = _both(strided, labels, None, 700)
    assert torch.equal(value, again)
    assert torch.equal(gradient, gradient_again)
    with torch.no_grad():
        assert torch.equal(banded_cross_entropy(strided, labels, None, band_values=700), value)


def test_the_bits_do_not_depend_on_threads_and_their_number_is_kept() -> None:
    strided, labels = torch.randn(4, 5, 9, 9), torch.randint(0, 5, (4, 33, 33))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(_both(strided, labels, None, 700)[0])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for value, gradient in found[1:]:
        assert torch.equal(value, found[0][0])
        assert torch.equal(gradient, found[0][1])


def test_half_precision_logits_are_computed_in_float32() -> None:
    strided = (torch.randn(1, 4, 5, 5) * 3).bfloat16().requires_grad_()
    labels = torch.randint(0, 4, (1, 17, 17))
    with torch.autocast("cpu", torch.bfloat16):
        value = banded_cross_entropy(strided, labels, None)
    value.backward()
    assert strided.grad is not None
    assert (value.dtype, strided.grad.dtype) == (torch.float32, torch.bfloat16)
    (_, _), (wanted, gradient) = _both(strided.detach().float(), labels, None)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(strided.grad, gradient.bfloat16())


@pytest.mark.parametrize("label", [3, 254, -1])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    labels = torch.zeros(1, 9, 9, dtype=torch.long)
    labels[0, 4, 4] = label
    with pytest.raises(RuntimeError, match="out of bounds"):
        banded_cross_entropy(torch.randn(1, 3, 3, 3), labels, None)


def test_a_logit_that_is_no_number_is_seen() -> None:
    strided = torch.randn(1, 3, 3, 3)
    strided[0, 1, 1, 1] = torch.nan
    assert banded_cross_entropy(strided, torch.zeros(1, 9, 9, dtype=torch.long), None).isnan()


@settings(deadline=None)
@given(inputs=st.integers(1, 60), outputs=st.integers(1, 200))
def test_interpolation_is_torchs_and_its_transpose_is_exact(inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(inputs * 1000 + outputs)
    values = torch.randn(2, inputs, 3, generator=generator)
    made = Interpolation.between(inputs, outputs, values)
    wanted = functional.interpolate(
        values.permute(0, 2, 1)[:, :, None], size=(1, outputs), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(made.apply(values), wanted[:, :, 0].permute(0, 2, 1), rtol=1e-5, atol=1e-5)
    back = torch.randn(2, outputs, 3, generator=generator)
    torch.testing.assert_close(made.apply_transposed(back), made.matrix.t() @ back, rtol=1e-5, atol=1e-5)
