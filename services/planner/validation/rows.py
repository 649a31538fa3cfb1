"""Rows of the measured-throughput table, as text with typed access."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# fmt: off
REQUIRED = (
    "id", "source", "family", "task", "model_name", "layers", "hidden", "heads", "kv_heads", "head_dim",
    "ffn_hidden", "gated_ffn", "vocab", "seq_len", "moe_experts", "moe_topk", "moe_ffn_hidden", "moe_shared_ffn",
    "dense_layers", "attn_type", "attn_window", "mtp", "tied_emb", "gpu_type", "gpu_mem_gb", "num_gpus",
    "gpus_per_node", "intra_link", "inter_link", "precision", "framework", "tp", "pp", "vpp", "dp", "cp", "ep",
    "etp", "sequence_parallel", "zero_stage", "dist_opt", "fsdp_group", "micro_batch", "global_batch",
    "recompute", "overlap", "schedule", "offload", "hetero_json", "tokens_per_s_per_gpu", "peak_mem_gb", "tier",
    "iter_time_s_best",
)
# fmt: on
"""The columns the reader uses; a table may hold others."""


class RowsError(ValueError):
    """The file is no table of measurements."""


class InexpressibleError(ValueError):
    """A row the engine cannot price: its message says which field and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    fields: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return the cell without surrounding blanks; empty when not stated."""
        return (self.fields.get(column) or "").strip()

    def number(self, column: str) -> float | None:
        """Return the cell as a number, None when empty; InexpressibleError when it is neither."""
        text = self.text(column)
        if not text:
            return None
        try:
            return float(text)
        except ValueError as error:
            raise InexpressibleError(f"{column}: {text!r} is not a number") from error

    def integer(self, column: str, default: int) -> int:
        """Return the cell as an integer, `default` when empty."""
        value = self.number(column)
        if value is None:
            return default
        if value != int(value):
            raise InexpressibleError(f"{column}: {value} is not a whole number")
        return int(value)

    def needed(self, column: str) -> int:
        """Return a positive integer; InexpressibleError when it is missing."""
        value = self.integer(column, 0)
        if value < 1:
            raise InexpressibleError(f"{column}: missing")
        return value

    @property
    def id(self) -> str:
        """Identifier in the table."""
        return self.text("id")


def read_rows(path: Path) -> list[Row]:
    """Return every row of the CSV file at `path`; RowsError when columns are missing."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [column for column in REQUIRED if column not in (reader.fieldnames or ())]
        if missing:
            raise RowsError(f"{path}: missing columns {', '.join(missing)}; send the layout of measured_throughput.csv")
        return [Row(fields) for fields in reader]
