"""docs/cost-model.md and its figures, written from a validation of the carried measurements."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from planner.calibration.effects import Hierarchy
from planner.validation.crossval import cross_validate
from planner.validation.holdout import calibrated
from planner.validation.metrics import Prediction, errors_by, errors_of
from planner.validation.ranking import rank_groups
from planner.validation.report import family_of, memory_of, ranking_of, read_cases, readings_of
from planner.validation.svg import scatter, spreads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planner.validation.convert import Case, PricedCase
    from planner.validation.rows import Row

_K = 3
_COMMAND = "python -m planner page"
_INTRODUCTION = f"""# The cost model against measurements

Written by `{_COMMAND}`; do not edit. Errors are |predicted / measured - 1| of seconds per iteration on the tier A rows
the project carries (`services/planner/catalog/measurements.csv`, each with its source).

- **bases**: before any row is fitted: `calibrations.toml`, datasheet ratios and published peaks of kernels.
- **defaults**: the catalogue's calibrations, which were fitted on these rows: `python -m planner validate ROWS.csv`.
- **source left out**: each source predicted from a fit on the others: `python -m planner crossvalidate`. This is what a
  new site should expect.
- **group left out**: each model x GPU x source predicted from a fit on all other groups:
  `python -m planner crossvalidate --leave group`.
- **K = {_K}**: {_K} rows of each source, GPU and precision fitted on top of the defaults, the others predicted:
  `python -m planner validate ROWS.csv --calibrate {_K}`. The {_K} are the medoids of the group: the rows nearest to all
  others in how their predicted times respond to the parameters, and in model; measured times play no part.

A default is a base times the factors of three levels (generation, software stack, GPU), each a handful of bounded
factors with a Gaussian prior around 1 (`planner.calibration.parameters`), fitted by regularised least squares on log
residuals under a Huber loss. A source's own effect is fitted beside them and thrown away. The spreads of the levels
were chosen once, coarsely, by the error with a source left out, not by the error on the rows fitted. The bases and
the mechanisms that are priced were written knowing these rows, so the figure flatters a little all the same.
"""
_WEAK_SPOTS = """
## Known weak spots, and what to do about them

- **Software versions.** The same plan on the same GPUs gains up to a factor of 2 between releases (GPT-OSS, Qwen3 on
  Blackwell). The stack `megatron-core-26.06` stands for one such step; otherwise releases of NeMo and Megatron-Bridge
  gain steadily by the month (`release_gain`), up to 26.04.01, after which dense models gained no more. Some went back:
  Llama 3 70B was slower in 26.02 than in 25.11. Send three of your own runs to `POST /calibrations`.
- **Sites.** Well-kept systems of one kind differ by a tenth in ways no row explains (BigScience is 10 to 20 % slower
  than vTrain on the same software). No default can be right for both; three runs settle it.
- **Launch-bound models.** The host's launches bound small models and experts by expert quantization (`launch_us`,
  `launches_per_expert`); hosts differ by a factor of 3, and the smallest models (Sailor on Grace hosts) stay too fast.
- **DeepSeek-V3 in NeMo of mid-2025 (bf16, GB200)** ran three times slower than later releases; nothing in its rows says
  why, and the model does not try to.
- **Recipes of 8-bit training.** Scaling by row, by tensor, by block and with delay are priced alike. torchtitan's runs
  scaled by row took 40 % longer than those scaled by tensor, longer than at 16 bits. Compilation is not modelled.
- **Rows that contradict their neighbours.** Nemotron-4 340B of dgxc v25.04 states no interleaving, which at its speed
  would mean 70 % of an H100's peak while busy; the releases before and after state 12 chunks and the same times. It is
  predicted as stated, 40 to 60 % too slow.
- **Unstated recomputation.** Where a row does not state it, the least recomputation that fits is assumed and reported.
- **Memory of ZB-2p and of very long sequences under FSDP.** ZB-2p is priced as ZB-H1, which holds half as much, so its
  peaks are not compared; losses computed in tiles (beyond 64k tokens) hold less than the model says.
"""
_RANKING = """
## Ranking

A group holds five or more runs of one model on the same GPUs with the same batch. A run is a plan at a precision on one
software release; rows that repeat it are one run, and its time is their median. Equal times share their mean rank, and
a group whose predictions are all equal counts as 0. Two stricter readings: runs of one source and one precision, many
of them one plan on releases, of which the model knows no more than that newer ones are faster; and plans alone, the
median over their releases.

"""


def predictions_by_way(priced: Sequence[PricedCase]) -> dict[str, list[Prediction]]:
    """Return every case predicted in each of the ways the page compares; some minutes of processor time."""
    hierarchy = Hierarchy.of(priced)
    return {
        "bases": [Prediction(one.case, one.seconds(one.prior)) for one in priced],
        "defaults": [Prediction(one.case, one.seconds()) for one in priced],
        "source left out": cross_validate(hierarchy, "source"),
        "group left out": cross_validate(hierarchy, "group"),
        f"K = {_K}": calibrated(priced, _K)[0],
    }


def write_page(rows: Sequence[Row], folder: Path) -> None:
    """Write cost-model.md and its figures into `folder`."""
    reading = read_cases([row for row in rows if row.text("tier") == "A"])
    priced = reading.priced
    ways = predictions_by_way(priced)
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for name, text in _figures(ways["source left out"]).items():
        (figures / name).write_text(text, encoding="utf-8")
    share = f"{len(priced)} of {reading.rows} tier A rows are expressible ({len(priced) / reading.rows:.1%})."
    sections = [
        _INTRODUCTION,
        f"\n{share}\n",
        _overall(ways),
        *(_table(f"by {name}", ways, key) for name, key in _KEYS.items()),
        _figure_section(),
        _ranking(ways["defaults"]),
        _memory(memory_of(priced)),
        _skipped(reading.skipped),
        _WEAK_SPOTS,
    ]
    (folder / "cost-model.md").write_text("".join(sections), encoding="utf-8")


_KEYS = {
    "family": family_of,
    "GPU and precision": lambda case: f"{case.row.text('gpu_type')} {case.run.workload.precision}",
    "source": lambda case: case.row.text("source"),
}


def _figures(predictions: Sequence[Prediction]) -> dict[str, str]:
    families: dict[str, list[tuple[float, float]]] = defaultdict(list)
    sources: dict[str, list[float]] = defaultdict(list)
    components: dict[str, list[float]] = defaultdict(list)
    for one in predictions:
        families[family_of(one.case)].append((one.case.run.seconds, one.predicted))
        sources[one.case.row.text("source")[:44]].append(one.error)
        for component in _components(one.case):
            components[component].append(one.error)
    return {
        "predicted-measured.svg": scatter(families, "Seconds per iteration, source left out"),
        "residuals-source.svg": spreads(sources, "Signed error by source, source left out: 10-90 %, median"),
        "residuals-component.svg": spreads(components, "Signed error of plans that use a component, source left out"),
    }


def _components(case: Case) -> list[str]:
    """Return what of the cost model the plan exercises."""
    strategy = case.run.strategy
    used = {
        "tensor parallel": strategy.tensor_parallel > 1,
        "pipeline parallel": strategy.pipeline_parallel > 1,
        "interleaving": strategy.virtual_pipeline > 1,
        "context parallel": strategy.context_parallel > 1,
        "expert parallel": strategy.expert_parallel > 1,
        "sharded weights (FSDP)": strategy.sharding.startswith("zero3"),
        "recomputation": strategy.recompute != "none",
        "low-precision operands": case.run.workload.precision not in {"bf16", "fp16"},
        "one node": case.run.cluster.count <= (case.run.cluster.links.gpus_per_node or 0),
    }
    return [name for name, is_used in used.items() if is_used]


def _overall(ways: dict[str, list[Prediction]]) -> str:
    lines = [
        "\n## Overall\n\n| | rows | mean | median | within 10 % | within 20 % | bias |\n|---|--:|--:|--:|--:|--:|--:|"
    ]
    for name, predictions in ways.items():
        errors = errors_of(one.error for one in predictions)
        shares = (errors[key] for key in ("mape", "median_ape", "within_10", "within_20", "bias"))
        lines.append(f"| {name} | {errors['rows']} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def _table(title: str, ways: dict[str, list[Prediction]], key: Any) -> str:
    columns = {name: errors_by(predictions, key) for name, predictions in ways.items()}
    head = (
        f"\n## Mean error {title}\n\n| | rows | " + " | ".join(columns) + " |\n|---|--:" + "|--:" * len(columns) + "|\n"
    )
    lines = []
    for group, errors in columns["defaults"].items():
        cells = [f"{part[group]['mape']:.1%}" if group in part else "" for part in columns.values()]
        lines.append(f"| {group} | {errors['rows']} | " + " | ".join(cells) + " |\n")
    return head + "".join(lines)


def _figure_section() -> str:
    return (
        "\n## Figures\n\n![Predicted against measured](figures/predicted-measured.svg)\n\n"
        "![Errors by component](figures/residuals-component.svg)\n\n![Errors by source](figures/residuals-source.svg)\n"
    )


def _ranking(predictions: Sequence[Prediction]) -> str:
    groups = rank_groups(predictions)
    if not groups:
        return "\n## Ranking\n\nNo group of five or more runs.\n"
    lines = [_RANKING, "| ranked | groups | regret, mean | Spearman, mean |\n|---|--:|--:|--:|\n"]
    for reading, means in readings_of(ranking_of(predictions)).items():
        figures = f"{means['mean_regret']:.1%} | {means['mean_spearman']:.2f}" if means["groups"] else " | "
        lines.append(f"| {reading} | {means['groups']} | {figures} |\n")
    lines.append("\n| group | runs | plans | regret | Spearman |\n|---|--:|--:|--:|--:|\n")
    for group in groups:
        key = group.key
        name = f"{key['model_name']} ({key['layers']} layers), {key['num_gpus']} {key['gpu_type']}, batch "
        figures = f"{group.ranked} | {group.plans} | {group.regret:.1%} | {group.spearman:.2f}"
        lines.append(f"| {name}{key['global_batch']} x {key['seq_len']} | {figures} |\n")
    return "".join(lines)


def _memory(memory: dict[str, Any]) -> str:
    refused = len(memory["wrongly_infeasible"])
    if not memory["rows"]:
        return f"\n## Memory\n\nNo row states its peak. Runs called too large by more than a tenth: {refused}.\n"
    return (
        f"\n## Memory\n\nPeak memory over {memory['rows']} rows that state it: mean error {memory['mape']:.1%}, bias "
        f"{memory['bias']:+.1%}. Runs called too large by more than a tenth: {refused}.\n"
    )


def _skipped(skipped: Sequence[dict[str, str]]) -> str:
    reasons: dict[str, int] = defaultdict(int)
    for one in skipped:
        reasons[one["reason"]] += 1
    lines = [f"- {count}: {reason}\n" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
    return "\n## Rows not expressed\n\n" + "".join(lines)
