"""What every network must do, whoever wrote it: whatever discovery finds is put through this."""

from __future__ import annotations

import pytest
import torch

from mseg_studio.networks.checkpoint import build_without_values, compare, known_networks, network_with, recognise
from mseg_studio.networks.folding import fold_batch_norm
from mseg_studio.networks.spec import NetworkSpec
from tests.conformance.small_networks import NUM_CLASSES, small_network

NETWORKS = list(known_networks().values())


def test_the_published_networks_are_there() -> None:
    assert {"hrnet-w48", "hrnet-w18-small", "pspnet-50", "pspnet-101"} <= {spec.name for spec in NETWORKS}


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
class TestNetwork:
    def test_builds_without_values_and_takes_values(self, spec: NetworkSpec) -> None:
        empty = build_without_values(spec, 5)
        assert all(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
        state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in empty.state_dict().items()}
        filled = network_with(spec, 5, state)
        # A buffer outside the state dict would be left without values: every one must be persistent.
        assert not any(tensor.is_meta for tensor in (*filled.parameters(), *filled.buffers()))
        assert not filled.training

    def test_head_key_gives_the_class_count(self, spec: NetworkSpec) -> None:
        for num_classes in (1, 19, 194, 316):
            state = build_without_values(spec, num_classes).state_dict()
            assert state[spec.head_weight_key].shape[0] == num_classes
            found = recognise(state)
            assert (found.spec.name, found.num_classes) == (spec.name, num_classes)

    def test_size_rule(self, spec: NetworkSpec) -> None:
        for crop_px in (473, 593, 713):
            spec.check_crop(crop_px)
        for crop_px in (474, 472, 0, -7, 1, 9):
            with pytest.raises(ValueError, match=f"crop {crop_px} does not fit {spec.name}"):
                spec.check_crop(crop_px)

    def test_sizes_of_the_answer_and_determinism(self, spec: NetworkSpec) -> None:
        network = small_network(spec)
        for height, width in ((65, 65), (65, 97)):
            images_NCHW = torch.randn(2, 3, height, width)
            with torch.inference_mode():
                logits = network(images_NCHW)
                strided = network.strided_logits(images_NCHW)
            small = (-(-height // spec.logits_stride), -(-width // spec.logits_stride))
            assert logits.shape == (2, NUM_CLASSES, height, width)
            assert strided.shape == (2, NUM_CLASSES, *small)
            upsampled = torch.nn.functional.interpolate(
                strided, size=(height, width), mode="bilinear", align_corners=True
            )
            assert torch.equal(logits, upsampled)  # so two runs gave the same numbers, too

    def test_an_auxiliary_head_answers_beside_the_main_one(self, spec: NetworkSpec) -> None:
        network = small_network(spec)
        assert hasattr(network, "training_logits") == bool(spec.auxiliary_head_weight_key)
        if not spec.auxiliary_head_weight_key:
            return
        assert build_without_values(spec, 19).state_dict()[spec.auxiliary_head_weight_key].shape[0] == 19
        images_NCHW = torch.randn(2, 3, 65, 97)
        with torch.inference_mode():
            main, auxiliary = network.training_logits(images_NCHW)
            assert torch.equal(main, network.strided_logits(images_NCHW))
        assert auxiliary.shape == main.shape and not torch.equal(auxiliary, main)

    def test_images_of_a_batch_do_not_mix(self, spec: NetworkSpec) -> None:
        network = small_network(spec)
        images_NCHW = torch.randn(2, 3, 65, 65)
        with torch.inference_mode():
            alone = torch.cat([network(image[None]) for image in images_NCHW])
            scale = max(1.0, float(alone.abs().max()))
            assert torch.allclose(network(images_NCHW), alone, atol=1e-4 * scale)

    def test_answer_is_the_same_folded(self, spec: NetworkSpec) -> None:
        network = small_network(spec)
        images_NCHW = torch.randn(1, 3, 73, 73)
        with torch.inference_mode():
            expected = network(images_NCHW)
            scale = max(1.0, float(expected.abs().max()))
            assert torch.allclose(fold_batch_norm(network)(images_NCHW), expected, atol=1e-4 * scale)

    def test_keys_fit_no_othersmall_network(self, spec: NetworkSpec) -> None:
        state = build_without_values(spec, 19).state_dict()
        others = [other for other in NETWORKS if other is not spec]
        assert all(compare(other, 19, state) for other in others)
