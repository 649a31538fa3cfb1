"""Measuring a GPU: matrix products, attention, normalisation and copies over a grid of shapes.

PyTorch is imported only here and only when asked for; everything after the measurement is plain arithmetic.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GEMM_SHAPES = tuple((rows, 4096, depth) for rows in (2048, 8192) for depth in (256, 512, 1024, 2048, 4096, 8192))
ATTENTION_SHAPES = ((1, 32, 2048, 128), (1, 32, 4096, 128), (1, 32, 8192, 128))
STREAM_ELEMENTS = (2**24, 2**26)
_REPEATS = 10
_HALF_K_GRID = np.geomspace(10, 2000, 200)


class ProfileError(RuntimeError):
    """Nothing can be measured here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured kernel: FLOPs or bytes it needs, seconds it took, and the shape's reduction length."""

    kind: str
    work: float
    seconds: float
    depth: int = 0

    @property
    def rate(self) -> float:
        """FLOPs or bytes per second."""
        return self.work / self.seconds


def load_torch() -> Any:
    """Return the PyTorch module; ProfileError, naming the remedy, when it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ProfileError("PyTorch is not installed; install torch for your GPU, then run this again") from error


def measure(torch: Any, device: str, *, scale: int = 1) -> list[Sample]:
    """Return samples of every kernel on `device`; `scale` divides the sizes, for machines that are no GPU."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    timer = _timer(torch, device)
    return [
        *_gemms(torch, device, dtype, timer, scale),
        *_attention(torch, device, dtype, timer, scale),
        *_streams(torch, device, dtype, timer, scale),
    ]


def _timer(torch: Any, device: str) -> Callable[[Callable[[], object]], float]:
    """Return a function that times one call: the median of repeats after one to warm up."""

    def settle() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    def seconds(call: Callable[[], object]) -> float:
        call()
        times = []
        for _ in range(_REPEATS):
            settle()
            begin = time.perf_counter()
            call()
            settle()
            times.append(time.perf_counter() - begin)
        return float(np.median(times))

    return seconds


def _gemms(torch: Any, device: str, dtype: Any, timer: Callable[..., float], scale: int) -> list[Sample]:
    samples = []
    for rows, columns, depth in GEMM_SHAPES:
        m, n, k = (max(size // scale, 8) for size in (rows, columns, depth))
        left, right = torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype)
        samples.append(Sample("gemm", 2.0 * m * n * k, timer(lambda a=left, b=right: a @ b), k))
    return samples


def _attention(torch: Any, device: str, dtype: Any, timer: Callable[..., float], scale: int) -> list[Sample]:
    attend = torch.nn.functional.scaled_dot_product_attention
    samples = []
    for batch, heads, sequence, width in ATTENTION_SHAPES:
        length = max(sequence // scale, 16)
        query = torch.randn(batch, heads, length, width, device=device, dtype=dtype)
        flops = 2.0 * batch * heads * length * length * width
        samples.append(Sample("attention", flops, timer(lambda q=query: attend(q, q, q, is_causal=True))))
    return samples


def _streams(torch: Any, device: str, dtype: Any, timer: Callable[..., float], scale: int) -> list[Sample]:
    width, norm = 4096, torch.nn.functional.layer_norm
    samples = []
    for elements in STREAM_ELEMENTS:
        rows = max(elements // scale // width, 1)
        values = torch.randn(rows, width, device=device, dtype=dtype)
        moved = 2.0 * values.numel() * values.element_size()
        samples.append(Sample("copy", moved, timer(values.clone)))
        samples.append(Sample("norm", moved, timer(lambda x=values: norm(x, (width,)))))
    return samples


def fragment(samples: Sequence[Sample], *, name: str, peak_flops: float, memory_rate: float) -> str:
    """Return a `[[calibration]]` fragment: fractions of `peak_flops` and `memory_rate` that the samples reach."""
    gemms = [sample for sample in samples if sample.kind == "gemm"]
    efficiency, half_k = fit_saturation(
        np.array([sample.depth for sample in gemms]), np.array([sample.rate for sample in gemms])
    )
    attention = max(sample.rate for sample in samples if sample.kind == "attention")
    streamed = float(np.median([sample.rate for sample in samples if sample.kind in {"copy", "norm"}]))
    lines = (
        "[[calibration]]",
        f'name = "{name}"',
        f'gemm = {{ "16" = {efficiency / peak_flops:.3g} }}',
        f"gemm_half_k = {half_k:.0f}",
        f"attention_forward = {attention / peak_flops:.3g}",
        f"memory = {streamed / memory_rate:.3g}",
        'provenance = "measured by `python -m planner profile`"',
    )
    return "\n".join(lines) + "\n"


def fit_saturation(depth: np.ndarray, rate: np.ndarray) -> tuple[float, float]:
    """Return (r, h) of the least relative squares fit of rate = r depth / (depth + h), h over a fixed grid."""
    best = (np.inf, 0.0, 0.0)
    for half in _HALF_K_GRID:
        shape = depth / (depth + half) / rate
        top = float(shape.sum() / (shape**2).sum())
        best = min(best, (float(((top * shape - 1) ** 2).sum()), top, float(half)))
    return best[1], best[2]
