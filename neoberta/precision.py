"""Whether matrix products run in bf16. They are much faster in bf16 with AVX512-BF16, AMX or a GPU
that has it, and much slower elsewhere."""

from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16"]
UsedPrecision = Literal["fp32", "bf16"]
"""The precision that `auto` stands for on a machine."""


def autocast_dtype(precision: Precision, device_type: str = "cpu") -> "torch.dtype | None":
    """The type to autocast to; None for plain fp32. `auto` is bf16 where the hardware multiplies
    it."""
    if precision == "fp32" or (precision == "auto" and not _has_fast_bf16(device_type)):
        return None
    import torch

    return torch.bfloat16


@cache
def _has_fast_bf16(device_type: str) -> bool:
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
