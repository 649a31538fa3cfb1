"""Memory per pipeline stage: exact in weights, gradients and optimizer state, modelled in activations and buffers."""

from planner.engine.memory.activations import ActivationBytes, activation_bytes
from planner.engine.memory.peak import StageMemory, activation_columns, bytes_over, needed_offload, stage_memory
from planner.engine.memory.state import StageParameters, StateBytes, sharding_ranks, stage_parameters, state_bytes

__all__ = [
    "ActivationBytes",
    "StageMemory",
    "StageParameters",
    "StateBytes",
    "activation_bytes",
    "activation_columns",
    "bytes_over",
    "needed_offload",
    "sharding_ranks",
    "stage_memory",
    "stage_parameters",
    "state_bytes",
]
