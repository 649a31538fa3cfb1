"""The three modes of a search: one GPU type, several in one pipeline, or any number under a money limit."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.engine.answers import best_candidates, candidate, homogeneous_result, merged_drops, result
from planner.engine.errors import InvalidRequest
from planner.engine.explain import search_reasons
from planner.engine.frontier import Front, Offer, find_front
from planner.engine.hardware import links_of, resolve_device
from planner.engine.heterogeneous import Mixes, Pool, candidate_of, find_mix
from planner.engine.homogeneous import find
from planner.engine.inputs import LinkOverrides
from planner.engine.money import catalog_price
from planner.engine.outputs import Candidate, PlanResult, Reason, SearchSummary
from planner.engine.problems import problem_of, problem_variants, user_rules
from planner.engine.sensitivity import insight
from planner.engine.structure import require_possible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.engine.hardware import Device
    from planner.engine.inputs import (
        CostCluster,
        HeterogeneousCluster,
        HomogeneousCluster,
        Objective,
        SearchOptions,
        Workload,
    )
    from planner.engine.model import Architecture
    from planner.engine.progress import Progress


def search_homogeneous(
    architecture: Architecture,
    workload: Workload,
    cluster: HomogeneousCluster,
    options: SearchOptions,
    progress: Progress,
) -> PlanResult:
    """Return the best strategies on one GPU type in a given number."""
    began = time.perf_counter()
    rules = user_rules(options)
    device = resolve_device(cluster.gpu, cluster.links, field="cluster.gpu")
    problems = problem_variants(architecture, workload, device, cluster.count, options)
    require_possible(problems[0])
    found = [find(problem, options, rules, progress) for problem in problems]
    candidates = best_candidates(found, workload.tokens, options.top_k)
    seconds = time.perf_counter() - began
    told = None
    if options.explain and candidates:
        fastest = min(found, key=lambda part: part.best.seconds[0] if len(part.best) else float("inf"))
        told = insight(fastest.problem, candidates[0], options, rules)
    return homogeneous_result(architecture, candidates, found, seconds, told)


def search_heterogeneous(
    architecture: Architecture,
    workload: Workload,
    cluster: HeterogeneousCluster,
    options: SearchOptions,
    progress: Progress,
) -> PlanResult:
    """Return the best plans that use exactly `cluster.total` GPUs, unlike ones in one pipeline or all of one type."""
    began = time.perf_counter()
    rules = user_rules(options)
    devices = _devices(cluster.limits, cluster.links, "cluster.limits")
    pools = []
    for name, device in devices.items():
        attention = "flash" if all(other.has_flash_attention for other in devices.values()) else "unfused"
        problem = problem_of(architecture, workload, device, cluster.total, workload.precision, attention)
        rate = None if cluster.inter_type_gbps is None else cluster.inter_type_gbps * 1e9
        pools.append(Pool(problem, cluster.limits[name], rate))
    require_possible(pools[0].problem, field="cluster.total")
    mixes = find_mix(pools, options, rules, progress)
    alone = [find(pool.problem, options, rules, progress) for pool in pools if pool.limit >= cluster.total]
    candidates = [candidate_of(mixes.pricing, mix, workload.tokens) for mix in mixes.best]
    candidates += best_candidates(alone, workload.tokens, options.top_k)
    candidates.sort(key=lambda one: one.estimate.iteration_seconds)
    dropped = merged_drops([mixes.admission.dropped, *(part.dropped for part in alone)])
    after_rules = mixes.admission.admitted + sum(part.after_rules for part in alone)
    priced = mixes.evaluated + sum(part.evaluated for part in alone)
    return result(
        "heterogeneous",
        architecture,
        candidates=candidates[: options.top_k],
        reasons=[] if candidates else _mix_reasons(mixes, after_rules, dropped),
        summary=SearchSummary(
            enumerated=mixes.enumerated + sum(part.enumerated for part in alone),
            after_rules=after_rules,
            after_memory=len(mixes.best) + sum(part.after_memory for part in alone),
            evaluated=priced,
            seconds=time.perf_counter() - began,
            optimality="exact",
            dropped=dropped,
            dimensions=mixes.dimensions,
        ),
    )


def _mix_reasons(mixes: Mixes, after_rules: int, dropped: Mapping[str, int]) -> list[Reason]:
    if mixes.assigned_somewhere:
        return search_reasons(dropped, after_rules, 0, None)
    message = "no pipeline degree leaves stages that the limits of the types can fill"
    return [Reason(rule="limits", message=message, remedy="raise a limit, or choose a total that more degrees divide")]


def _devices(names: Mapping[str, object], links: Mapping[str, LinkOverrides], field: str) -> dict[str, Device]:
    """Return the device of each name given; InvalidRequest when two names mean one type."""
    devices: dict[str, Device] = {}
    for name in names:
        plain = resolve_device(name, LinkOverrides(), field=f"{field}.{name}")
        if plain.name in {device.name for device in devices.values()}:
            raise InvalidRequest(f"{field}.{name}", name, f"names {plain.name} a second time", "list each type once")
        devices[name] = resolve_device(name, links_of(links, plain.name, name), field=f"{field}.{name}")
    return devices


def search_cost(
    architecture: Architecture,
    workload: Workload,
    cluster: CostCluster,
    options: SearchOptions,
    objective: Objective,
    progress: Progress,
) -> PlanResult:
    """Return the Pareto set of (throughput, money), and of it the best plans within the money and the deadline."""
    began = time.perf_counter()
    if workload.tokens is None:
        remedy = "send the tokens to train on"
        raise InvalidRequest("workload.tokens", None, "is needed to turn time into money", remedy)
    rules = user_rules(options)
    devices = _devices(dict.fromkeys(cluster.gpus), cluster.links, "cluster.gpus")
    prices = _prices(cluster, devices)
    offers = []
    for device in devices.values():
        attention = "flash" if device.has_flash_attention else "unfused"
        problem = problem_of(architecture, workload, device, cluster.max_count, workload.precision, attention)
        offers.append(Offer(problem, prices[device.name] / 3600))
    front = find_front(offers, options, rules, progress)
    frontier = [_on_front(front, row, workload.tokens, prices) for row in range(len(front))]
    within = [one for one in frontier if _within(one, cluster)]
    within.sort(key=lambda one: _rank(one, objective))
    dropped = merged_drops([admission.dropped for admission in front.admissions])
    after_rules = sum(admission.admitted for admission in front.admissions)
    return result(
        "cost",
        architecture,
        candidates=within[: options.top_k],
        frontier=frontier,
        reasons=[] if within else _cost_reasons(frontier, cluster, after_rules, dropped),
        summary=SearchSummary(
            enumerated=front.enumerated,
            after_rules=after_rules,
            after_memory=front.evaluated,
            evaluated=front.evaluated,
            seconds=time.perf_counter() - began,
            optimality="exact",
            dropped=dropped,
            dimensions={"gpu_types": len(offers), "layouts": sum(len(one.grid.layouts) for one in front.admissions)},
        ),
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


def _on_front(front: Front, row: int, tokens: float, prices: Mapping[str, float]) -> Candidate:
    grid = front.admissions[front.offer[row]].grid
    layout = int(front.layout[row])
    problem = replace(grid.problem, gpus=int(grid.layouts.gpus[layout]))
    point = (layout, int(front.work[row]), int(front.state[row]))
    return candidate(problem, grid.layouts, grid.options, point, tokens, prices)


def _within(one: Candidate, cluster: CostCluster) -> bool:
    hours, money = one.estimate.hours or 0.0, one.cost.usd if one.cost else 0.0
    in_time = cluster.deadline_hours is None or hours <= cluster.deadline_hours
    return in_time and (cluster.max_money is None or money <= cluster.max_money)


def _rank(one: Candidate, objective: Objective) -> float:
    return one.cost.usd if objective == "money" and one.cost else one.estimate.iteration_seconds


def _cost_reasons(
    frontier: list[Candidate], cluster: CostCluster, after_rules: int, dropped: Mapping[str, int]
) -> list[Reason]:
    if not frontier:
        return search_reasons(dropped, after_rules, 0, None)
    cheapest = min((one.cost.usd for one in frontier if one.cost), default=0.0)
    fastest = min(one.estimate.hours or 0.0 for one in frontier)
    message = f"the cheapest plan costs {cheapest:,.0f} US dollars and the fastest takes {fastest:,.1f} hours"
    limits = f"max_money {cluster.max_money}, deadline_hours {cluster.deadline_hours}"
    return [
        Reason(rule="limits", message=f"no plan meets {limits}: {message}", remedy="raise max_money or deadline_hours")
    ]
