"""What the processor can do that decides how fast a network runs on it."""

from __future__ import annotations

import functools

import torch

_NAMES = {
    "avx2": "avx2",
    "avx512_f": "avx512",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_bf16": "amx_bf16",
    "amx_int8": "amx_int8",
}
"""torch's names and those that people know."""


@functools.cache
def cpu_features() -> tuple[str, ...]:
    """Instruction sets of this CPU that matter here; empty where torch does not tell (before 2.9, or not x86)."""
    told: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return tuple(name for key, name in _NAMES.items() if told.get(key))


def multiplies_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware, so that half is faster than float32."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(cpu_features())
