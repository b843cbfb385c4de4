"""Where bf16 is faster than fp32. It is 4x faster with AVX512-BF16 or AMX, and tens of times slower without."""

from functools import cache
from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]


@cache
def has_fast_bf16(device_type: str = "cpu") -> bool:
    """Whether this machine multiplies bf16 matrices in hardware."""
    import torch

    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def use_bf16(precision: Precision, device_type: str = "cpu") -> bool:
    """What `auto` means on this machine. Vectors of the two agree to a cosine of about 0.9998."""
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device_type))
