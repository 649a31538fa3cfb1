from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from planner.validation.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LLAMA = {
    "id": "a-run",
    "source": "a source",
    "family": "megatron",
    "task": "pretrain",
    "model_name": "llama2-7b",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "32",
    "head_dim": "128",
    "ffn_hidden": "11008",
    "gated_ffn": "1",
    "vocab": "32000",
    "seq_len": "4096",
    "attn_type": "MHA",
    "tied_emb": "0",
    "gpu_type": "A100",
    "gpu_mem_gb": "80",
    "num_gpus": "16",
    "gpus_per_node": "8",
    "intra_link": "NVLink3 600GB/s",
    "precision": "bf16",
    "framework": "Megatron-LM",
    "tp": "2",
    "pp": "2",
    "vpp": "1",
    "dp": "4",
    "cp": "1",
    "zero_stage": "1",
    "micro_batch": "1",
    "global_batch": "64",
    "recompute": "none",
    "tier": "A",
    "iter_time_s_best": "10.0",
}


def row(**changes: str) -> Row:
    return Row(LLAMA | changes)


def write_table(
    path: Path, *rows: Row, columns: Iterable[str] = (), delimiter: str = ",", encoding: str = "utf-8"
) -> str:
    """Write `rows` as CSV under `columns`, by default all that any row has; return the path as text."""
    names = list(columns) or list(dict.fromkeys(name for one in rows for name in one.fields)) or list(LLAMA)
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(dict(one.fields) for one in rows)
    return str(path)
