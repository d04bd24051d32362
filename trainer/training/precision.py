"""Which precision a run computes in: bfloat16 where the hardware has instructions for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import torch

from trainer.config import FitConfig

CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")  # flags of Linux; without them bfloat16 is emulated


def precision(config: FitConfig, *, cpu: bool | None = None) -> Literal["no", "bf16"]:
    """Return the precision of a configuration on the CPU, or on this machine's GPU if any."""
    cpu = not torch.cuda.is_available() if cpu is None else cpu
    fast = bool(bfloat16_flags()) if cpu else True
    return config.mixed_precision if fast else "no"


@cache
def bfloat16_flags() -> tuple[str, ...]:
    """Return which of CPU_BFLOAT16 the processor has; none where that cannot be read."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return tuple(flag for flag in CPU_BFLOAT16 if flag in flags)
