"""Engine `openvino`: the CPU, about twice as fast as torch there."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import torch

from mseg_studio import __version__
from mseg_studio.errors import ConfigError
from mseg_studio.inference import calibration, compiled_cache
from mseg_studio.inference.compiled_cache import CompiledFile, DamagedError
from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.openvino_model import converted
from mseg_studio.inference.openvino_runtime import core, cpu_identity, multiplies_bfloat16, openvino, version
from mseg_studio.inference.recipe import Precision

_LOG = logging.getLogger(__name__)


class OpenVinoEngine:
    """A network that OpenVINO compiled for this CPU. It takes crops of any size and number; not thread-safe.

    Half and int8 multiply in bfloat16 what is not int8. A network whose weights have a hash is compiled once for a
    machine and then read from the user's cache: torch builds and loads nothing.
    """

    name = "openvino"

    def __init__(self, source: NetworkSource, *, precision: Precision, threads: int | None = None) -> None:
        """`threads` defaults to torch's number.

        Raises ImportError without OpenVINO, ConfigError for a precision that this CPU or model cannot be run in,
        ConversionError for a network that OpenVINO does not take, CheckpointError when the weights cannot be loaded.
        """
        if precision not in ("float32", "half", "int8"):
            raise ValueError(f"engine openvino computes in float32, half or int8, got {precision}")
        self._bfloat16 = precision != "float32" and multiplies_bfloat16()
        if precision == "half" and not self._bfloat16:
            raise ConfigError("engine openvino computes in half where the CPU multiplies bfloat16; here use float32")
        self._precision = precision
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "bf16" if self._bfloat16 else "f32",
            # A thread tied to a core waits for whoever else runs there.
            "ENABLE_CPU_PINNING": False,
        }
        self._file: CompiledFile | None = None
        self._request = self._compiled(source).create_infer_request()

    @property
    def precision(self) -> str:
        """float32, half or int8."""
        return self._precision

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def logits_dtype(self) -> torch.dtype:
        """bfloat16 where the last layer computes in it: the other half of a float32 would be zeros."""
        return torch.bfloat16 if self._bfloat16 else torch.float32

    def logits_into(self, crops_NCHW: torch.Tensor, out_NhwC: torch.Tensor) -> None:
        """See `Engine`."""
        if out_NhwC.dtype != self.logits_dtype or not out_NhwC.is_contiguous():
            raise ValueError(f"logits are contiguous {self.logits_dtype}, got {out_NhwC.dtype}")
        given = openvino().Tensor(crops_NCHW.detach().contiguous().float().numpy(), shared_memory=True)
        self._request.set_input_tensor(given)
        self._request.set_output_tensor(_shared(out_NhwC))
        self._request.start_async()
        self._request.wait()
        if self._file is not None:
            self._file.drop_pages()  # the CPU's own copy of the weights was made in the first run

    def close(self) -> None:
        """Give the memory back."""
        self._request = None
        self._file = None

    def _compiled(self, source: NetworkSource) -> Any:
        """An openvino.CompiledModel, from the cache where it is there."""
        if not source.weights_sha256:
            return self._build(source)
        facts = self._facts(source)
        path = compiled_cache.path_of(facts, version())
        if (found := self._read(path)) is not None:
            return found
        built = self._build(source)
        try:
            compiled_cache.keep(path, facts, built.export_model().getbuffer())
        except OSError as error:
            _LOG.warning("%s: the compiled network cannot be kept: %s", path, error.strerror or error)
            return built
        # The one that is read shares its weights with the file; the one that was built owns them.
        return self._read(path) or built

    def _read(self, path: Path) -> Any:
        """The compiled model in `path`, None where there is none or it is damaged."""
        try:
            file = CompiledFile(path)
            found = core().import_model(openvino().Tensor(file.bytes, shared_memory=True), "CPU", self._config)
        except FileNotFoundError:
            return None
        except (OSError, DamagedError, RuntimeError) as error:
            _LOG.warning("%s: the compiled network is made again: %s", path, error)
            return None
        self._file = file
        with contextlib.suppress(OSError):
            os.utime(path)  # what is used lately is thrown away last
        return found

    def _build(self, source: NetworkSource) -> Any:
        model = calibration.read_calibrated(source)[0] if self._precision == "int8" else converted(source)
        steps = openvino().preprocess.PrePostProcessor(model)
        steps.output(0).tensor().set_element_type(openvino().Type.bf16 if self._bfloat16 else openvino().Type.f32)
        return core().compile_model(steps.build(), "CPU", self._config)

    def _facts(self, source: NetworkSource) -> dict[str, str]:
        """All that the compiled model depends on."""
        return {
            "weights": source.weights_sha256,
            "network": source.spec.name,
            "classes": str(source.num_classes),
            "precision": self._precision,
            "calibration": calibration.read_record(source).id if self._precision == "int8" else "",
            "cpu": cpu_identity(),
            "openvino": version(),
            "program": __version__,
        }


def _shared(tensor: torch.Tensor) -> Any:
    """The same memory as an openvino.Tensor. numpy knows no bfloat16, so that goes by its bits."""
    ov = openvino()
    if tensor.dtype == torch.bfloat16:
        return ov.Tensor(tensor.view(torch.uint16).numpy(), ov.Shape(list(tensor.shape)), ov.Type.bf16)
    return ov.Tensor(tensor.numpy(), shared_memory=True)
