"""One dense strategy priced in plain Python, one number at a time: the oracle for the vectorised engine.

Written from docs/planner.md, not from the engine: scalars, loops over stages, no arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.engine.inputs import Strategy
    from planner.engine.problem import Problem

TILES = ((256, 128, 1.0), (128, 128, 0.96), (128, 64, 0.85), (64, 64, 0.68))


@dataclass
class Scalar:
    """The price of `strategy` on `problem`: dense models, 16-bit operands, no context parallelism or offload."""

    problem: Problem
    strategy: Strategy

    def __post_init__(self) -> None:
        self.arch, self.device = self.problem.architecture, self.problem.device
        self.cal = self.device.calibration
        self.t, self.p = self.strategy.tensor_parallel, self.strategy.pipeline_parallel
        self.v, self.b = self.strategy.virtual_pipeline, self.strategy.micro_batch_size
        self.d = self.problem.gpus // (self.t * self.p)
        self.k = self.problem.batch // (self.d * self.b)
        self.tokens = self.b * self.problem.sequence
        self.residual = self.t if self.strategy.sequence_parallel else 1
        self.rate = self.device.memory_rate * self.cal.memory
        self.layers = [self.arch.layers // self.p] * self.p

    def gemm(self, rows: float, columns: float, depth: float) -> float:
        peak = self.device.peak_flops(self.problem.precision) * self.device.gemm_efficiency(self.problem.precision)
        best = 0.0
        for height, width, speed in TILES:
            down, across = ceil(rows / height), ceil(columns / width)
            waves = down * across / self.device.gpu.multiprocessors
            filled = rows * columns / (down * height * across * width)
            best = max(best, speed * filled * waves / ceil(waves))
        compute = 2 * rows * columns * depth / (peak * best * depth / (depth + self.cal.gemm_half_k))
        moved = 2 * depth * (rows + columns) + 2 * rows * columns
        return max(compute, moved / self.rate)

    def linear(self, columns: float, depth: float) -> list[float]:
        """Forward, input gradient, weight gradient."""
        accumulate = 2 * self.problem.gradient_bytes * columns * depth / self.rate
        n = self.tokens
        return [self.gemm(n, columns, depth), self.gemm(n, depth, columns), self.gemm(columns, depth, n) + accumulate]

    def streamed(self, forward: float, backward: float) -> list[float]:
        return [forward / self.rate, backward / self.rate, 0.0]

    def attention(self) -> list[float]:
        s, width = self.problem.sequence, 2 * self.arch.query_size / self.t
        peak = self.device.peak_flops("bf16")
        if self.problem.flash_attention:
            flops = 2 * self.tokens * self.arch.attended_positions(s) * width
            fit = self.arch.head_dim / (self.arch.head_dim + 16) * s / (s + 256)
            forward = flops / (peak * self.cal.attention_forward * fit)
            return [forward, 2.5 * flops / (peak * self.cal.attention_backward * fit), 0.0]
        kernel = 2 * self.tokens * s * width / (peak * self.cal.attention_forward)
        scores = self.tokens * s * self.arch.heads / self.t
        return [kernel + 12 * scores / self.rate, 2 * kernel + 16 * scores / self.rate, 0.0]

    def modules(self) -> dict[str, list[float]]:
        h, n, t = self.arch.hidden_size, self.tokens, self.t
        width = self.arch.query_size / t + 2 * self.arch.head_dim * self.arch.kv_heads / min(t, self.arch.kv_heads)
        ffn, up = self.arch.ffn_size / t, self.arch.mlp_matrices - 1
        projections = [
            self.linear(h, self.arch.value_size / t),
            self.linear(width, h),
            self.streamed(4 * n * width, 4 * n * width),
        ]
        mlp = [
            self.linear(up * ffn, h),
            self.linear(h, ffn),
            self.streamed(2 * (up + 1) * n * ffn, 2 * (2 * up + 1) * n * ffn),
        ]
        streams = self.streamed(20 * n * h / self.residual, 22 * n * h / self.residual)
        return {
            "projections": [sum(part) for part in zip(*projections, strict=True)],
            "core_attn": self.attention(),
            "mlp": [sum(part) for part in zip(*mlp, strict=True)],
            "streams": streams,
        }

    def gather(self, ranks: int, stride: int, size: float) -> float:
        if ranks == 1:
            return 0.0
        local = min(max(self.device.domain // stride, 1), ranks)
        domains = ceil(ranks / local)
        inside = self.device.scale_up_rate * self.cal.scale_up
        rate = min(inside, self.device.scale_out_rate * self.cal.scale_out * local) if domains > 1 else inside
        latency = self.device.scale_up_latency * min(local - 1, 2 * log2(local) + 1)
        latency += self.device.scale_out_latency * ceil(log2(domains)) * 2
        return size * (ranks - 1) / ranks / rate + latency

    def layer(self) -> tuple[float, float, float]:
        """Forward, backward with recomputation, weight gradient: seconds per micro-batch."""
        modules = self.modules()
        forward, input_grad, weight_grad = (sum(part) for part in zip(*modules.values(), strict=True))
        floor = self.cal.launches_per_layer * self.cal.launch_us * 1e-6
        once = 2 * 2 * self.gather(self.t, 1, 2 * self.tokens * self.arch.hidden_size)
        shown = once * (1 - self.cal.overlapped_tensor_share * self.strategy.tp_overlap)
        under = max(shown - self.cal.overlap_window * weight_grad, self.cal.exposed_floor * once)
        ahead = max(forward, floor) + shown
        back = max(input_grad + weight_grad, 1.6 * floor) + under
        if self.strategy.recompute == "full":
            back += ahead
        for name in self.strategy.recompute_modules:
            norms = 4 * self.arch.norms_per_layer * self.tokens / self.residual * self.arch.hidden_size / self.rate
            back += norms if name == "layernorm" else modules[name][0]
        return ahead, back, weight_grad

    def head(self) -> list[float]:
        multiple = 128 * self.t
        width = ceil(self.arch.vocab_size / multiple) * multiple / self.t
        product, scores = self.linear(width, self.arch.hidden_size), self.tokens * width
        return [a + b for a, b in zip(product, self.streamed(12 * scores, 8 * scores), strict=True)]

    def pipeline(self) -> tuple[float, float, float]:
        """The pipeline's seconds, the slowest stage's forward pass, and its backward pass."""
        forward, backward, weight = self.layer()
        lookup = 18 * self.tokens * self.arch.hidden_size / self.rate
        head = self.head()
        rows = []
        for stage, count in enumerate(self.layers):
            ends = (lookup if stage == 0 else 0) + (sum(head) if stage == self.p - 1 else 0)
            last = stage == self.p - 1
            total = count * (forward + backward) + ends
            rows.append((total, count * forward + last * head[0], count * weight + last * head[2]))
        slowest = max(rows)
        fill = (sum(row[0] for row in rows) - slowest[0]) / self.v
        if self.strategy.schedule == "zero_bubble":
            fill *= 1 - min(2 * slowest[2] / slowest[0], 1)
        passes = 1 + (min(self.p, self.k) - 1) * (self.v - 1) / self.v
        total = self.k * slowest[0] + fill + self.transfers(slowest[1])
        return total, slowest[1] * passes, (slowest[0] - slowest[1]) * passes

    def transfers(self, forward: float) -> float:
        if self.p == 1:
            return 0.0
        size = 2 * self.tokens * self.arch.hidden_size / self.t
        near = self.t * self.d < self.device.domain
        rate = (
            self.device.scale_up_rate * self.cal.scale_up if near else self.device.scale_out_rate * self.cal.scale_out
        )
        once = size / rate + (self.device.scale_up_latency if near else self.device.scale_out_latency)
        hidden = max(once - forward / self.v * self.cal.overlap_window, self.cal.exposed_floor * once)
        crossing = hidden if self.strategy.p2p_overlap else once
        return 2 * ((self.k - 1) * self.v * crossing + (self.p - 1) * once)

    def parameters(self, stage: int) -> float:
        counts, h = self.problem.parameters, self.arch.hidden_size
        heads = counts.key_value / min(self.t, self.arch.kv_heads)
        layer = (counts.attention - counts.key_value) / self.t + heads + counts.attention_replicated + counts.norms
        total = self.layers[stage] * (layer + counts.dense_mlp / self.t)
        table = ceil(self.arch.vocab_size / (128 * self.t)) * 128 * h
        if stage == 0:
            total += table + counts.positions
        if stage == self.p - 1:
            total += counts.final_norm + (0 if self.p == 1 and self.arch.tied_embeddings else table)
        return total

    def iteration_seconds(self) -> float:
        pipeline, forward, backward = self.pipeline()
        held = max(self.parameters(stage) for stage in range(self.p))
        sharded = self.strategy.sharding == "zero1"
        reduce = self.gather(self.d, self.t, held * self.problem.gradient_bytes) * (1 if sharded else 2)
        gather = self.gather(self.d, self.t, held * 2) if sharded else 0.0
        window, share = self.cal.overlap_window, self.cal.exposed_floor + self.cal.overlap_slowdown
        if self.strategy.grad_reduce_overlap:
            reduce = max(reduce - window * backward, share * reduce)
        if self.strategy.param_gather_overlap:
            gather = max(gather - window * forward, share * gather)
        step = 34 * held / (self.d if sharded else 1) / self.rate + 12 * held / self.rate
        nodes = max(self.problem.gpus / self.device.gpus_per_node, 1)
        total = pipeline + reduce + gather + step + self.cal.iteration_ms * 1e-3
        return total * self.cal.slowdown * (1 + self.cal.straggler * log2(nodes))

    def activation_bytes(self, *, kept: bool) -> float:
        """Bytes one layer keeps per micro-batch, or with `kept` off would keep without recomputation."""
        h, t, n = self.arch.hidden_size, self.t, self.tokens
        key_value = self.arch.head_dim * self.arch.kv_heads / min(t, self.arch.kv_heads)
        scores = 0 if self.problem.flash_attention else 5 * self.arch.heads * self.problem.sequence / t
        parts = {
            "residuals": 4 * h / self.residual,
            "layernorm": 4 * h / self.residual,
            "core_attn": scores,
            "context": 2 * self.arch.value_size / t,
            "projections": 2 * (self.arch.query_size / t + 2 * key_value),
            "mlp": 2 * self.arch.mlp_matrices * self.arch.ffn_size / t,
        }
        dropped = self.strategy.recompute_modules if kept else []
        return n * sum(size for name, size in parts.items() if name not in dropped)

    def stage_bytes(self, stage: int) -> float:
        held = self.parameters(stage)
        state = held * (
            2
            + self.cal.gradient_copies * self.problem.gradient_bytes
            + 12 / (self.d if self.strategy.sharding == "zero1" else 1)
        )
        boundary = 2 * self.tokens * self.arch.hidden_size / self.residual
        whole = self.activation_bytes(kept=False)
        full = self.strategy.recompute == "full"
        each = boundary if full else self.activation_bytes(kept=True)
        if self.v > 1:
            chunks = 2 * (self.p - stage - 1) + (self.v - 1) * self.p + 1
            alive = min(chunks, self.k * self.v) / self.v
        else:
            alive = min(self.k, self.p - stage)
        resident = alive * self.layers[stage] * each
        working = whole if full else whole - each
        logits = self.cal.logit_bytes * self.tokens * self.arch.vocab_size / self.t if stage == self.p - 1 else 0
        buffers = self.cal.framework_gib * 2**30 + working + (2 * boundary if self.p > 1 else 0) + logits
        used = resident * (1 + self.cal.fragmentation) + buffers
        return state + used + min(self.cal.allocator_slack * used, max(self.device.memory_bytes - state - used, 0))
