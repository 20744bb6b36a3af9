"""PSPNet: both heads in training, strict import, and the published procedure at a stride of eight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from benchmarks import reference
from mseg_studio.errors import CheckpointError
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.networks import checkpoint
from mseg_studio.networks.checkpoint import import_checkpoint, load_network, recognise
from mseg_studio.networks.folding import fold_batch_norm
from mseg_studio.networks.pspnet import PSPNet, PSPNetConfig, pspnet_spec
from mseg_studio.taxonomy.projection import identity
from tests.factories import make_pixels, make_taxonomy
from tests.goldens.weights import golden_shapes

SMALL = pspnet_spec("pspnet-small", PSPNetConfig(blocks=(1, 1, 1, 1), width=4))
CLASSES = 19


@pytest.fixture
def network() -> PSPNet:
    """A small one in evaluation mode whose logits differ from place to place."""
    torch.manual_seed(0)
    module: PSPNet = SMALL.build(CLASSES)
    with torch.no_grad():
        module.cls[4].weight -= module.cls[4].weight.mean(dim=1, keepdim=True)
    return module.eval()


def _golden_keys() -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in golden_shapes("psp50").items()}


def _without(state: Mapping[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(start)}


def test_published_keys_are_pspnet_50() -> None:
    found = recognise(_golden_keys())
    assert (found.spec.name, found.num_classes) == ("pspnet-50", 194)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: _without(s, "ppm.features.3.1"), "nearest is pspnet-50, where 369 of 369 keys fit: 1 missing"),
        (lambda s: _without(s, "aux."), "missing (aux.0.weight"),
        (lambda s: {**s, "aux.4.bias": torch.empty(19)}, "aux.4.bias expected 194, came 19"),
        (lambda s: {**s, "layer3.6.conv1.weight": torch.empty(1)}, "1 unexpected (layer3.6.conv1.weight)"),
    ],
)
def test_a_refusal_names_the_nearest_depth_and_the_keys(change, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        recognise(change(_golden_keys()))
    assert words in str(caught.value) and "nearest is pspnet-50" in str(caught.value)


def test_import_keeps_rows_and_both_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "known_networks", lambda: {SMALL.name: SMALL})
    torch.manual_seed(1)
    source = SMALL.build(194).eval()
    state = {f"module.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "train_epoch_3.pth")
    model = import_checkpoint(tmp_path / "train_epoch_3.pth", name="psp")
    loaded, spec = load_network(model)
    assert spec is SMALL and (model.card.network, model.card.num_classes) == (SMALL.name, 194)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in loaded.state_dict().items())
    image_NCHW = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        assert torch.equal(loaded(image_NCHW), source(image_NCHW))


def test_a_loss_of_both_heads_reaches_every_weight(network: PSPNet) -> None:
    network.train()
    main, auxiliary = network.training_logits(torch.randn(2, 3, 33, 49))
    assert main.shape == auxiliary.shape == (2, CLASSES, 5, 7)
    (main.square().mean() + 0.4 * auxiliary.square().mean()).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_heads_drop_channels_in_training_only(network: PSPNet) -> None:
    images_NCHW = torch.randn(2, 3, 33, 33)
    with torch.no_grad():
        assert torch.equal(network.strided_logits(images_NCHW), network.strided_logits(images_NCHW))
        network.train()
        first, again = network.training_logits(images_NCHW), network.training_logits(images_NCHW)
        assert all(not torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_the_auxiliary_head_costs_nothing_at_inference(network: PSPNet) -> None:
    network.aux.register_forward_hook(lambda *_: pytest.fail("the auxiliary head ran"))
    image_NCHW = torch.randn(1, 3, 33, 33)
    with torch.inference_mode():
        network(image_NCHW)
        fold_batch_norm(network).strided_logits(image_NCHW)


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize(
    ("height", "width", "crop_px", "scales"),
    [(60, 90, 33, (1.0,)), (90, 60, 41, (0.5, 1.0, 1.75)), (20, 90, 49, (1.0,)), (1, 1, 33, (1.0,))],
)
def test_labels_are_those_of_the_published_procedure(
    network: PSPNet, engine: str, height: int, width: int, crop_px: int, scales: tuple[float, ...]
) -> None:
    recipe = Recipe(base_size=48, crop_px=crop_px, scales=scales, engine=engine, precision="float32")
    pixels_HW3 = make_pixels(height, width)
    predictor = Predictor(network, SMALL, num_classes=CLASSES, recipe=recipe, device="cpu")
    came = predictor.predict(pixels_HW3).labels(identity(make_taxonomy(num_classes=CLASSES))).ids_HW
    wanted = reference.segment(network, pixels_HW3, base_size=48, crop_px=crop_px, scales=scales)
    assert (came != wanted).sum() <= max(3, came.size // 10_000)
    assert came.size < 2 or len(set(came.flat)) > 3
