"""Between a named strategy and its point in the factored space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.errors import InvalidRequest
from planner.engine.inputs.strategy import Strategy
from planner.engine.space.layouts import Layouts, assemble
from planner.engine.space.options import CONTEXT_COMMS, SHARDINGS, WORK_AXES, Options, Recompute
from planner.engine.space.pipelines import SCHEDULES, SPLITS, pipeline_shapes

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.types import Ints


def encode(problem: Problem, strategy: Strategy, *, field: str = "strategy") -> tuple[Layouts, Options]:
    """Return a layout of one row and options of one value each.

    InvalidRequest at `field` when no such layout exists.
    """
    layouts = _layout(problem, strategy, field)
    options = Options(
        sequence_parallel=np.array([strategy.sequence_parallel]),
        tp_overlap=np.array([strategy.tp_overlap]),
        recomputes=(_recompute(strategy),),
        activation_offload=np.array([strategy.activation_offload]),
        p2p_overlap=np.array([strategy.p2p_overlap]),
        context_comm=np.array([CONTEXT_COMMS.index(strategy.context_comm)], np.int8),
        sharding=np.array([SHARDINGS.index(strategy.sharding)], np.int8),
        optimizer_offload=np.array([strategy.optimizer_offload]),
        grad_reduce_overlap=np.array([strategy.grad_reduce_overlap]),
        param_gather_overlap=np.array([strategy.param_gather_overlap]),
    )
    return layouts, options


def _recompute(strategy: Strategy) -> Recompute:
    if strategy.recompute == "full":
        share = 1.0
        layers = strategy.recompute_layers if strategy.recompute_method == "block" else None
        return Recompute("full", (), strategy.recompute_method or "uniform", share, layers)
    modules = tuple(strategy.recompute_modules) or ("core_attn",)
    return Recompute("selective", modules) if strategy.recompute == "selective" else Recompute()


def _one(value: int) -> Ints:
    return np.array([value], np.int32)


def _layout(problem: Problem, strategy: Strategy, field: str) -> Layouts:
    schedules = (strategy.schedule,) if strategy.schedule else ("interleaved", "1f1b")
    splits = (strategy.pipeline_split,) if strategy.pipeline_split else SPLITS
    pipeline, chunks = strategy.pipeline_parallel, strategy.virtual_pipeline
    shapes = pipeline_shapes(problem.architecture.layers, (pipeline,), (chunks,), schedules, splits, problem.mtp)
    if not len(shapes):
        raise InvalidRequest(
            f"{field}.pipeline_parallel",
            pipeline,
            f"cannot deal {problem.architecture.layers} layers to {pipeline} stages of {chunks} chunks",
            "change pipeline_parallel, virtual_pipeline, schedule or pipeline_split so that the layers divide",
        )
    layouts = assemble(
        _one(problem.gpus),
        problem.batch,
        _one(strategy.tensor_parallel),
        _one(strategy.context_parallel),
        _one(strategy.expert_parallel),
        _one(strategy.expert_tensor_parallel),
        _one(strategy.micro_batch_size),
        shapes,
        _one(0),
    )
    _check(problem, strategy, layouts, field)
    return layouts


def _check(problem: Problem, strategy: Strategy, layouts: Layouts, field: str) -> None:
    model = strategy.tensor_parallel * strategy.context_parallel * strategy.pipeline_parallel
    data = int(layouts.data[0])
    if not data:
        remedy = f"choose tensor x context x pipeline degrees whose product divides {problem.gpus}"
        raise InvalidRequest(f"{field}.tensor_parallel", model, f"degrees do not divide {problem.gpus} GPUs", remedy)
    if strategy.data_parallel not in {None, data}:
        remedy = f"leave it out or send {data}"
        raise InvalidRequest(
            f"{field}.data_parallel", strategy.data_parallel, "does not match the other degrees", remedy
        )
    if not layouts.micro_batches[0]:
        remedy = f"data_parallel {data} x micro_batch_size must divide global_batch_size {problem.batch}"
        raise InvalidRequest(
            f"{field}.micro_batch_size", strategy.micro_batch_size, "does not divide the batch", remedy
        )


def decode(layouts: Layouts, options: Options, layout: int, work: int, state: int, *, flash: bool) -> Strategy:
    """Return the strategy at flat indices `work` and `state` of layout row `layout`."""
    sequence, overlap, again, offload, transfers, comm = np.unravel_index(work, options.work_shape)
    sharding, share, reduce, gather = np.unravel_index(state, options.shape[WORK_AXES:])
    setting = options.recomputes[again]
    chunk = -(-int(max(layouts.first_layers[layout], layouts.middle_layers[layout])) // int(layouts.virtual[layout]))
    return Strategy(
        tensor_parallel=int(layouts.tensor[layout]),
        context_parallel=int(layouts.context[layout]),
        pipeline_parallel=int(layouts.pipeline[layout]),
        virtual_pipeline=int(layouts.virtual[layout]),
        data_parallel=int(layouts.data[layout]),
        expert_parallel=int(layouts.expert[layout]),
        expert_tensor_parallel=int(layouts.expert_tensor[layout]),
        micro_batch_size=int(layouts.micro_batch[layout]),
        schedule=SCHEDULES[layouts.schedule[layout]],
        pipeline_split=SPLITS[layouts.split[layout]],
        sequence_parallel=bool(options.sequence_parallel[sequence]),
        sharding=SHARDINGS[options.sharding[sharding]],
        recompute=setting.granularity,
        recompute_modules=list(setting.modules),
        recompute_method=setting.method,
        recompute_layers=int(np.ceil(setting.share * chunk)) if setting.method == "block" else None,
        activation_offload=bool(options.activation_offload[offload]),
        optimizer_offload=float(options.optimizer_offload[share]),
        tp_overlap=bool(options.tp_overlap[overlap]),
        p2p_overlap=bool(options.p2p_overlap[transfers]),
        context_comm=CONTEXT_COMMS[options.context_comm[comm]],
        grad_reduce_overlap=bool(options.grad_reduce_overlap[reduce]),
        param_gather_overlap=bool(options.param_gather_overlap[gather]),
        attention="flash" if flash else "unfused",
    )
