"""The Kubernetes manifests say what the compose file says, and confine at least as much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = sorted(name for name, service in COMPOSE.items() if "build" in service)
STORES = sorted(set(COMPOSE) - set(OURS))
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SANDBOX = "astrolabe-sandbox"
ADDRESSES = {"ASTROLABE_SANDBOX_URL", "ASTROLABE_TOOL_GATEWAY_URL", "ASTROLABE_SANDBOX_TOOL_ORIGINS"}
"""Those that differ where every pod has an address of its own."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


MANIFESTS = [document for name in KUSTOMIZATION["resources"] for document in documents(name)]
SECRETS = documents("secrets.example.yaml")


def named(kind: str, namespace: str | None = None) -> dict[str, dict[str, Any]]:
    return {
        document["metadata"]["name"]: document
        for document in [*MANIFESTS, *SECRETS]
        if document["kind"] == kind and namespace in {None, document["metadata"].get("namespace")}
    }


WORKLOADS = {**named("Deployment"), **named("StatefulSet"), **named("Job")}
POLICIES = [document for document in MANIFESTS if document["kind"] == "NetworkPolicy"]


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return spec


def labels(name: str) -> dict[str, str]:
    found: dict[str, str] = WORKLOADS[name]["spec"]["template"]["metadata"]["labels"]
    return found


def container(name: str) -> dict[str, Any]:
    [only] = pod(name)["containers"]
    assert only["name"] == name
    found: dict[str, Any] = only
    return found


def environment(name: str) -> dict[str, str]:
    """The variables of a workload, with the example's values for secrets."""
    namespace = WORKLOADS[name]["metadata"]["namespace"]
    values: dict[str, str] = {}
    for source in container(name).get("envFrom", []):
        if "configMapRef" in source:
            values |= named("ConfigMap", namespace)[source["configMapRef"]["name"]]["data"]
        else:
            values |= named("Secret", namespace)[source["secretRef"]["name"]]["stringData"]
    for variable in container(name).get("env", []):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            values[variable["name"]] = named("Secret", namespace)[reference["name"]]["stringData"][reference["key"]]
        elif "value" in variable:
            values[variable["name"]] = variable["value"]
    return values


def applies(policy: dict[str, Any], name: str) -> bool:
    """Whether a policy selects the pods of a workload."""
    if policy["metadata"]["namespace"] != WORKLOADS[name]["metadata"]["namespace"]:
        return False
    return selects(policy["spec"]["podSelector"], labels(name))


def selects(selector: dict[str, Any], given: dict[str, str]) -> bool:
    return all(given.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        given.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", [])
    )


def test_every_file_is_applied_and_every_part_of_the_stack_is_there() -> None:
    others = {"kustomization.yaml", "secrets.example.yaml", "secrets.yaml"}
    assert {path.name for path in FOLDER.glob("*.yaml")} - others == set(KUSTOMIZATION["resources"])
    assert set(WORKLOADS) == set(COMPOSE)


@pytest.mark.parametrize("name", sorted(COMPOSE))
def test_image_and_command_are_those_of_the_compose_file(name: str) -> None:
    assert container(name)["image"] == COMPOSE[name]["image"]
    if name in OURS:
        assert container(name)["command"] == COMPOSE[name]["command"]
    assert {image["name"] for image in KUSTOMIZATION["images"]} == {COMPOSE[ours]["image"] for ours in OURS}


@pytest.mark.parametrize("name", OURS)
def test_variables_are_those_of_the_compose_file(name: str) -> None:
    given, expected = environment(name), COMPOSE[name]["environment"]
    assert given.keys() == expected.keys()
    fixed = {key: str(value) for key, value in expected.items() if "$" not in str(value) and key not in ADDRESSES}
    assert fixed == {key: given[key] for key in fixed}


def test_addresses_name_services_that_exist() -> None:
    services = {
        (s["metadata"]["namespace"], s["metadata"]["name"], s["spec"]["ports"][0]["port"])
        for s in MANIFESTS
        if s["kind"] == "Service"
    }
    assert environment("codetree-worker")["ASTROLABE_SANDBOX_URL"] == "http://sandbox.astrolabe-sandbox:8003"
    assert "@postgres:5432/" in environment("planner")["ASTROLABE_DATABASE_URL"]
    assert "@redis:6379/" in environment("planner")["ASTROLABE_REDIS_URL"]
    assert {
        (SANDBOX, "sandbox", 8003),
        ("astrolabe", "postgres", 5432),
        ("astrolabe", "redis", 6379),
        ("astrolabe", "planner", 8001),
        ("astrolabe", "codetree", 8002),
    } == services


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_part_is_unprivileged(name: str) -> None:
    spec, own = pod(name), container(name)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert container(name)["resources"]["limits"]["memory"]
    if name in OURS:
        ids = spec["securityContext"]
        assert f"{ids['runAsUser']}:{ids['runAsGroup']}" == COMPOSE[name]["user"]
    if name != "sandbox":
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_only_the_sandbox_s_namespace_is_allowed_more_and_only_the_sandbox_is_in_it() -> None:
    levels = {
        name: space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for name, space in named("Namespace").items()
    }
    assert levels == {"astrolabe": "restricted", SANDBOX: "privileged"}
    assert [name for name, found in WORKLOADS.items() if found["metadata"]["namespace"] == SANDBOX] == ["sandbox"]
    profile = container("sandbox")["securityContext"]["seccompProfile"]
    assert profile["type"] == "Localhost"
    assert (ROOT / "deploy" / Path(profile["localhostProfile"]).name).is_file()
    assert "seccompProfile" not in pod("sandbox")["securityContext"]


def test_the_sandbox_holds_no_secret_but_its_token() -> None:
    secrets = [name for name in environment("sandbox") if any(name in s["stringData"] for s in SECRETS)]
    assert secrets == ["ASTROLABE_SANDBOX_TOKEN"]
    assert environment("sandbox")["ASTROLABE_SANDBOX_TOKEN"] == environment("codetree")["ASTROLABE_SANDBOX_TOKEN"]


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_nothing_is_open_unless_it_is_listed(name: str) -> None:
    closed = [policy["spec"] for policy in POLICIES if policy["spec"]["podSelector"] == {} and applies(policy, name)]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in closed


def test_the_sandbox_can_reach_only_the_gateway_of_episodes_and_answers_only_them_and_prometheus() -> None:
    policies = [policy["spec"] for policy in POLICIES if applies(policy, "sandbox")]
    [way_out] = [rule for spec in policies for rule in spec.get("egress", [])]
    port = int(environment("codetree-worker")["ASTROLABE_CODETREE_WORKER_PORT"])
    assert way_out["ports"] == [{"port": port}]
    assert environment("sandbox")["ASTROLABE_SANDBOX_TOOL_ORIGINS"] == f'["http://*:{port}"]'
    [gateway] = way_out["to"]
    reached = [name for name in OURS if selects(gateway["podSelector"], labels(name))]
    assert reached == ["codetree-worker"]
    [rule] = [rule for spec in policies for rule in spec.get("ingress", [])]
    assert rule["ports"] == [{"port": 8003}]
    callers = [peer["podSelector"] for peer in rule["from"]]
    assert selects(callers[0], labels("codetree-worker"))
    for name in set(OURS) - {"codetree-worker"}:
        assert not any(selects(caller, labels(name)) for caller in callers)


@pytest.mark.parametrize("store", STORES)
def test_stores_answer_only_those_who_are_given_their_address(store: str) -> None:
    [rule] = [rule for p in POLICIES if applies(p, store) for rule in p["spec"].get("ingress", [])]
    [peer] = rule["from"]
    allowed = {name for name in OURS if selects(peer["podSelector"], labels(name))}
    assert allowed == {name for name in OURS if "ASTROLABE_DATABASE_URL" in environment(name)}


def test_only_episodes_and_webhooks_reach_the_world() -> None:
    reaching = {
        name
        for name in WORKLOADS
        for policy in POLICIES
        if applies(policy, name)
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    }
    assert reaching == {"codetree-worker", "courier"}


def test_no_secret_has_a_value_in_the_repository() -> None:
    for secret in SECRETS:
        for key, value in secret["stringData"].items():
            assert not value or "<" in value, key
    assert [document for document in MANIFESTS if document["kind"] == "Secret"] == []
    assert "secrets.yaml" in (FOLDER / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", ["planner", "codetree", "sandbox"])
def test_probes_ask_the_endpoints_for_them(name: str) -> None:
    given = container(name)
    assert given["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert given["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    [port] = given["ports"]
    assert str(port["containerPort"]) in COMPOSE[name]["healthcheck"]["test"][-1]
