from __future__ import annotations

import dataclasses
import gc
import logging
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference import compiled_cache, cpu_features, openvino_runtime
from mseg_studio.inference.compiled_cache import DamagedError
from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.engine_choice import make_engine
from mseg_studio.inference.engines.openvino_engine import OpenVinoEngine
from mseg_studio.inference.openvino_model import ConversionError
from mseg_studio.settings import user_folder
from tests.goldens.weights import NUM_CLASSES, SPECS, golden_network

# Asked without importing it: the first import is to be the program's own, which sends nothing.
pytestmark = pytest.mark.skipif(not openvino_runtime.is_installed(), reason="OpenVINO is not installed")

CPU = torch.device("cpu")
SHA256 = "ab" * 32


class Few(torch.nn.Module):
    """A network of two layers: what is kept and when does not depend on what it computes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 64, 3, stride=4, padding=1)
        self.last = torch.nn.Conv2d(64, NUM_CLASSES, 1)

    def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(images_NCHW).relu())


class Loads:
    """Counts how often the network is loaded."""

    def __init__(self) -> None:
        self.count = 0

    def source(self, weights_sha256: str = SHA256) -> NetworkSource:
        return NetworkSource(self._load, SPECS["tiny"], NUM_CLASSES, weights_sha256, "tiny")

    def _load(self) -> torch.nn.Module:
        self.count += 1
        self.last = Few()
        return self.last


TINY = NetworkSource(lambda: golden_network("tiny"), SPECS["tiny"], NUM_CLASSES, name="tiny")


def crops(count: int = 2, height: int = 153, width: int = 153) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def answer(engine: OpenVinoEngine, crops_NCHW: torch.Tensor) -> torch.Tensor:
    count, _, height, width = crops_NCHW.shape
    out = torch.full((count, -(-height // 4), -(-width // 4), NUM_CLASSES), torch.nan, dtype=engine.logits_dtype)
    engine.logits_into(crops_NCHW, out)
    return out


@torch.inference_mode()
def expected(crops_NCHW: torch.Tensor) -> torch.Tensor:
    return golden_network("tiny").strided_logits(crops_NCHW).permute(0, 2, 3, 1)


def compiled_files() -> list[Path]:
    return sorted(user_folder("cache").rglob("*.compiled"))


def test_float32_is_that_of_torch_at_every_size():
    engine = OpenVinoEngine(TINY, precision="float32", threads=1)
    assert engine.logits_dtype == torch.float32
    for size in ((1, 153, 153), (2, 153, 153), (3, 97, 129)):
        came, wanted = answer(engine, crops(*size)), expected(crops(*size))
        assert float((came - wanted).abs().max() / wanted.std()) < 1e-3, size
        assert float((came.argmax(-1) == wanted.argmax(-1)).float().mean()) >= 0.9999, size


@pytest.mark.skipif(not cpu_features.multiplies_bfloat16(), reason="no bfloat16 units")
def test_half_is_near():
    given = crops()
    engine = OpenVinoEngine(TINY, precision="half", threads=1)
    assert engine.logits_dtype == torch.bfloat16
    came, wanted = answer(engine, given).float(), expected(given)
    assert float((came - wanted).std() / wanted.std()) < 0.05
    assert float((came.argmax(-1) == wanted.argmax(-1)).float().mean()) > 0.9


def test_half_needs_a_cpu_that_has_it(monkeypatch):
    monkeypatch.setattr("mseg_studio.inference.engines.openvino_engine.multiplies_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="use float32"):
        OpenVinoEngine(Loads().source(), precision="half")


def test_the_second_start_reads_the_compiled_network_and_loads_nothing():
    loads = Loads()
    first = answer(OpenVinoEngine(loads.source(), precision="float32", threads=1), crops())
    assert (loads.count, len(compiled_files())) == (1, 1)
    second = answer(OpenVinoEngine(loads.source(), precision="float32", threads=1), crops())
    assert loads.count == 1
    assert torch.equal(first, second)


def test_torch_s_network_is_gone_once_it_is_compiled():
    loads = Loads()
    engine = OpenVinoEngine(loads.source(), precision="float32", threads=1)
    weight = weakref.ref(loads.last.last.weight)
    del loads
    gc.collect()
    assert weight() is None
    assert torch.isfinite(answer(engine, crops())).all()


def test_other_weights_are_another_network():
    loads = Loads()
    OpenVinoEngine(loads.source(), precision="float32", threads=1)
    OpenVinoEngine(loads.source("cd" * 32), precision="float32", threads=1)
    assert (loads.count, len(compiled_files())) == (2, 2)


def test_what_is_damaged_is_told_and_never_used():
    path = compiled_cache.path_of({"made": "here"}, "1.0")
    compiled_cache.keep(path, {"made": "here"}, bytes(range(256)) * 64)
    data = path.read_bytes()
    assert bytes(compiled_cache.CompiledFile(path).bytes) == data[4096:]
    damaged = {
        "cut": data[:-1],
        "cut to its head": data[:4096],
        "emptied": b"",
        "a byte": data[:5000] + b"!" + data[5001:],
        "the head": b"!" + data[1:],
        "no object": b"[]" + data[2:],
        "another format": data.replace(b'{"format": 1', b'{"format": 2', 1),
    }
    for what, content in damaged.items():
        path.unlink()  # another file: what is mapped stays as it was
        path.write_bytes(content)
        with pytest.raises(DamagedError):
            pytest.fail(what + str(compiled_cache.CompiledFile(path)))


@pytest.mark.parametrize("damage", ["a byte", "no model"])
def test_what_is_damaged_is_made_again(damage, caplog):
    loads = Loads()
    wanted = answer(OpenVinoEngine(loads.source(), precision="float32", threads=1), crops())
    [path] = compiled_files()
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "a byte":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        compiled_cache.keep(path, {}, b"no model")  # the sum is right, but OpenVINO does not take it
    with caplog.at_level(logging.WARNING):
        came = answer(OpenVinoEngine(loads.source(), precision="float32", threads=1), crops())
    assert torch.equal(came, wanted)
    assert loads.count == 2
    assert "is made again" in caplog.text


def test_without_a_hash_nothing_is_kept():
    OpenVinoEngine(Loads().source(""), precision="float32", threads=1)
    assert not user_folder("cache").exists()


def test_a_full_or_forbidden_disk_costs_the_cache_only(monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiled_cache, "keep", full)
    with caplog.at_level(logging.WARNING):
        engine = OpenVinoEngine(Loads().source(), precision="float32", threads=1)
    assert torch.isfinite(answer(engine, crops())).all()
    assert "No space left on device" in caplog.text


def test_other_versions_and_the_oldest_are_thrown_away():
    old = compiled_cache.cache_folder("1.0")
    old.mkdir(parents=True)
    (old / "x.compiled").write_bytes(b"old")
    kept = []
    for number in range(8):
        facts = {"number": str(number)}
        kept.append(compiled_cache.path_of(facts, "2.0"))
        compiled_cache.keep(kept[-1], facts, b"data")
    assert not old.exists()
    assert len(compiled_files()) == 6
    assert kept[-1].exists()


def test_where_openvino_fails_torch_takes_over_and_says_why(monkeypatch, caplog):
    def refuse(_: NetworkSource) -> None:
        raise ConversionError("no such operation: frobnicate")

    monkeypatch.setattr("mseg_studio.inference.engines.openvino_engine.converted", refuse)
    with caplog.at_level(logging.WARNING):
        engine = make_engine(Loads().source(), CPU, "float32", threads=1, tell=(told := []).append)
    assert engine.name == "torch"
    assert "frobnicate" in caplog.text
    assert told == ["OpenVINO does not run this model: no such operation: frobnicate"]
    with pytest.raises(ConfigError, match="frobnicate"):
        make_engine(Loads().source(), CPU, "float32", threads=1, setting="openvino")


def test_a_network_that_looks_at_its_input_is_not_converted():
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, NUM_CLASSES, 1)

        def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            size = tuple(int(side) // 4 + 1 for side in images_NCHW.shape[-2:])
            grid = torch.linspace(0, 1, size[0])  # what tracing takes for a constant
            return self.layer(torch.nn.functional.interpolate(images_NCHW, size)) + grid.mean() * size[0]

    source = dataclasses.replace(Loads().source(""), load=Odd)
    with pytest.raises(ConversionError, match="hrnet-tiny"):
        OpenVinoEngine(source, precision="float32")


def test_without_openvino_auto_is_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert make_engine(Loads().source(), CPU, "float32").name == "torch"


_CHILD = """
import sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
        sys.stderr.write(f"{event} {arguments}\\n")
sys.addaudithook(hook)
sys.path.insert(0, sys.argv[1])
from tests.inference.test_openvino_engine import OpenVinoEngine, Loads, answer, crops
import torch
torch.set_num_threads(1)
engine = OpenVinoEngine(Loads().source(), precision="float32", threads=1)
print(float(answer(engine, crops()).sum()), sys.modules.get("openvino_telemetry"))
"""


def test_two_processes_at_once_and_nothing_leaves_the_machine():
    command = [sys.executable, "-c", _CHILD, str(Path(__file__).parents[2])]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0], answers
    assert [err for _, err in answers] == ["", ""]
    assert answers[0][0] == answers[1][0]
    assert answers[0][0].endswith(" None\n")
    assert len(compiled_files()) == 1


_STARVED = """
import resource, sys
import psutil
sys.path.insert(0, sys.argv[1])
from mseg_studio.inference.engine import is_out_of_memory
from tests.inference.test_openvino_engine import OpenVinoEngine, Loads, answer, crops
import torch
torch.set_num_threads(1)
engine = OpenVinoEngine(Loads().source(""), precision="float32", threads=1)
given = crops(8, 801, 801)
out = torch.empty((8, 201, 201, 194))
room = psutil.Process().memory_info().vms + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    engine.logits_into(given, out)
except (RuntimeError, MemoryError) as error:
    print(is_out_of_memory(error), error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can be given little memory")
def test_a_lack_of_memory_is_told_as_one():
    command = [sys.executable, "-c", _STARVED, str(Path(__file__).parents[2])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("True "), (done.stdout, done.stderr)


def test_the_version_is_known():
    assert openvino_runtime.version() == openvino_runtime.openvino().__version__.split("-")[0]
