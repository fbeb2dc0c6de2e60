"""What a GPU can do, as far as a model's memory and speed depend on it. Rows come from ``catalog/gpus.yaml``."""

from __future__ import annotations

import msgspec

from overspill.perf.precision import FORMAT_BITS


class Gpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of GPU. Arithmetic is dense (without sparsity), links are one direction per GPU."""

    name: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    bf16_flops: float
    """Of FP16 where there are no units for BF16."""
    fp8_flops: float | None = None
    """``None``: no units for it; weights in it are converted before each use."""
    fp4_flops: float | None = None
    int8_ops: float | None = None
    link_bytes_per_s: float
    """To the other GPUs of its node."""
    gpus_per_node: int = 8
    gpus_per_domain: int | None = None
    """GPUs that the fast link joins beyond one machine (72 in an NVL72 rack); ``None`` is those of the node."""
    has_bf16: bool = True

    @property
    def largest_group(self) -> int:
        """Return how many GPUs tensor parallelism can span at the fast link's speed."""
        return self.gpus_per_domain or self.gpus_per_node

    def flops(self, kept: str) -> float:
        """Return the arithmetic per second for weights kept in a format: that of its own units, or else of BF16."""
        own = None
        if kept.startswith(("fp8", "mxfp8")):
            own = self.fp8_flops
        elif kept == "int8":
            own = self.int8_ops
        elif kept in ("nvfp4", "mxfp4"):
            own = self.fp4_flops
        return max(own or 0.0, self.bf16_flops)

    def has_units(self, kept: str) -> bool:
        """Return whether it computes in the format itself; if not, the format saves memory and no arithmetic."""
        if kept == "bf16":
            return self.has_bf16
        if FORMAT_BITS[kept] >= 16:
            return True
        return self.flops(kept) > self.bf16_flops
