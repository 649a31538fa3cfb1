"""Any number of several GPU types under a money limit and a deadline."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.engine.answers import candidate, result, summary_of
from planner.engine.errors import InvalidRequest
from planner.engine.explain import search_reasons
from planner.engine.frontier import Front, Offer, find_front
from planner.engine.hardware import resolve_device, resolve_devices
from planner.engine.inputs import LinkOverrides
from planner.engine.modes.restrictions import require_one_kernel
from planner.engine.money import catalog_price
from planner.engine.optimality import of_front
from planner.engine.outputs import Reason
from planner.engine.parts import Part, Ranked, added
from planner.engine.patience import Patience
from planner.engine.problems import problem_of, user_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.engine.hardware import Device
    from planner.engine.inputs import CostCluster, Objective
    from planner.engine.modes.question import Question
    from planner.engine.outputs import Candidate, PlanResult
    from planner.engine.progress import Progress
    from planner.engine.space import Share


def part(question: Question[CostCluster], share: Share, progress: Progress) -> Part:
    """Return the Pareto set of (throughput, money) of a share of every type's and count's layouts."""
    began = time.perf_counter()
    cluster, workload = question.cluster, question.workload
    if workload.tokens is None:
        remedy = "send the tokens to train on"
        raise InvalidRequest("workload.tokens", None, "is needed to turn time into money", remedy)
    options, rules = question.options, user_rules(question.options)
    require_one_kernel(options.space)
    patience = Patience.of(options)
    devices = resolve_devices(dict.fromkeys(cluster.gpus), cluster.links, "cluster.gpus")
    prices = _prices(cluster, devices)
    offers = [_offer(question, device, prices[device.name]) for device in devices.values()]
    front = find_front(offers, options, rules, progress, share=share, patience=patience)
    iterations = workload.tokens / (workload.global_batch_size * workload.sequence_length)
    dropped: dict[str, int] = {}
    for admission in front.admissions:
        dropped = added(dropped, admission.dropped)
    return Part(
        mode="cost",
        limit=options.top_k,
        frontier=[_on_front(front, row, share, workload.tokens, prices) for row in range(len(front))],
        enumerated=front.enumerated,
        after_rules=sum(admission.admitted for admission in front.admissions),
        after_memory=front.evaluated,
        evaluated=front.evaluated,
        layouts=sum(len(one.grid.layouts) for one in front.admissions),
        left=[(seconds * iterations / 3600, dollars * iterations) for seconds, dollars in front.left],
        seconds=time.perf_counter() - began,
        dropped=dropped,
        dimensions={"gpu_types": len(offers)},
    )


def _offer(question: Question[CostCluster], device: Device, dollars_per_gpu_hour: float) -> Offer:
    attention = "flash" if device.has_flash_attention else "unfused"
    precision, most = question.workload.precision, question.cluster.max_count
    problem = problem_of(
        question.architecture, question.workload, device, most, precision, attention, field="cluster.gpus"
    )
    return Offer(problem, dollars_per_gpu_hour / 3600)


def answer(question: Question[CostCluster], whole: Part) -> PlanResult:
    """Return the frontier, and of it the best plans within the money and the deadline."""
    cluster, objective = question.cluster, question.objective
    frontier = [one.candidate for one in whole.frontier]
    within = [one for one in frontier if _within(one, cluster)]
    within.sort(key=lambda one: _rank(one, objective))
    optimality = of_front(whole, within, objective, cluster.deadline_hours, cluster.max_money)
    return result(
        whole,
        question.architecture,
        candidates=within[: whole.limit],
        frontier=frontier,
        summary=summary_of(whole, optimality, dimensions={**whole.dimensions, "layouts": whole.layouts}),
        reasons=[] if within else _reasons(frontier, cluster, whole),
    )


def _prices(cluster: CostCluster, devices: Mapping[str, Device]) -> dict[str, float]:
    own = {
        resolve_device(name, LinkOverrides(), field="cluster.prices").name: price
        for name, price in cluster.prices.items()
    }
    prices = {}
    for given, device in devices.items():
        listed = catalog_price(device.name, cloud=cluster.cloud, region=cluster.region, spot=cluster.spot)
        price = own.get(device.name, listed)
        if price is None:
            remedy = f'send its US dollars per GPU-hour in cluster.prices, as {{"{device.name}": 2.5}}'
            raise InvalidRequest("cluster.gpus", given, "has no price in the catalogue that matches", remedy)
        prices[device.name] = price
    return prices


def _on_front(front: Front, row: int, share: Share, tokens: float, prices: Mapping[str, float]) -> Ranked:
    offer = int(front.offer[row])
    grid = front.admissions[offer].grid
    layout = int(front.layout[row])
    problem = replace(grid.problem, gpus=int(grid.layouts.gpus[layout]))
    point = (layout, int(front.work[row]), int(front.state[row]))
    return Ranked(
        rank=(float(front.seconds[row]), float(front.dollars[row]), offer, share.index, row),
        candidate=candidate(problem, grid.layouts, grid.options, point, tokens, prices),
    )


def _within(one: Candidate, cluster: CostCluster) -> bool:
    hours, money = one.estimate.hours or 0.0, one.cost.usd if one.cost else 0.0
    in_time = cluster.deadline_hours is None or hours <= cluster.deadline_hours
    return in_time and (cluster.max_money is None or money <= cluster.max_money)


def _rank(one: Candidate, objective: Objective) -> float:
    return one.cost.usd if objective == "money" and one.cost else one.estimate.iteration_seconds


def _reasons(frontier: list[Candidate], cluster: CostCluster, whole: Part) -> list[Reason]:
    if not frontier:
        return search_reasons(whole.dropped, whole.after_rules, 0, None)
    cheapest = min((one.cost.usd for one in frontier if one.cost), default=0.0)
    fastest = min(one.estimate.hours or 0.0 for one in frontier)
    message = f"the cheapest plan costs {cheapest:,.0f} US dollars and the fastest takes {fastest:,.1f} hours"
    limits = f"max_money {cluster.max_money}, deadline_hours {cluster.deadline_hours}"
    return [
        Reason(rule="limits", message=f"no plan meets {limits}: {message}", remedy="raise max_money or deadline_hours")
    ]
