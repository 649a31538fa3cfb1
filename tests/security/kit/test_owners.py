"""Two owners cannot see, cancel, count or guess each other's: every endpoint that its schema names is tried."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.security.kit.guarded import REQUESTS, SERVICES, Guarded, Owner, belongings

# What a path may hold besides ids: a value that the service knows.
WORDS = {"export_format": "megatron", "kind": "sft"}
PUBLIC = ("/livez", "/readyz")


def operations(owner: Owner, service: str) -> list[tuple[str, str]]:
    paths = owner.ask(service, "GET", "/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in PUBLIC]


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1]) or WORDS[name[1]], path)


def is_of_one(path: str, ids: dict[str, str]) -> bool:
    return any(f"{{{name}}}" in path for name in ids)


@pytest.mark.parametrize("service", SERVICES)
def test_another_s_belongings_are_answered_like_what_never_was(guarded: Guarded, service: str) -> None:
    ann, bob = guarded.owner("ann"), guarded.owner("bob")
    ids = belongings(ann, service)
    if service == "planner":
        ids["calibration"] = str(uuid4())
    tried = 0
    for method, path in operations(ann, service):
        if not is_of_one(path, ids):
            continue
        nothing = dict.fromkeys(ids, str(uuid4()))
        theirs = bob.ask(service, method, filled(path, ids))
        never = bob.ask(service, method, filled(path, nothing))
        assert theirs.status_code == never.status_code == 404, (method, path)
        assert shape(theirs.text, ids) == shape(never.text, nothing), (method, path)
        tried += 1
    assert tried >= 8


def shape(text: str, ids: dict[str, str]) -> str:
    """An answer without what differs from request to request."""
    for value in ids.values():
        text = text.replace(value, "ID")
    return re.sub(r'"request_id":"[^"]*"', "", text)


@pytest.mark.parametrize("service", SERVICES)
def test_what_another_has_is_in_no_list_count_or_export(guarded: Guarded, service: str) -> None:
    ann, cat = guarded.owner("ann"), guarded.owner(f"cat-{uuid4()}")
    ids = belongings(ann, service)
    for method, path in operations(ann, service):
        if method == "GET" and not is_of_one(path, ids | {"calibration": ""}):
            answer = cat.ask(service, method, filled(path, {}))
            assert answer.is_success, path
            assert not [value for value in ids.values() if value in answer.text], path
    assert cat.ask(service, "GET", SERVICES[service]).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("service", SERVICES)
def test_a_refused_cancel_changes_nothing(guarded: Guarded, service: str) -> None:
    ann, bob = guarded.owner("ann"), guarded.owner("bob")
    body = REQUESTS[service] | {"external_id": str(uuid4())}
    if service == "planner":
        body["workload"] = {"global_batch_size": 8 * 37, "sequence_length": 4096}
    own = f"{SERVICES[service]}/{ann.ask(service, 'POST', SERVICES[service], json=body).json()['id']}"
    assert bob.ask(service, "POST", f"{own}/cancel").status_code == 404
    assert ann.ask(service, "GET", own, params={"wait": 60}).json()["status"] == "succeeded"
    assert "cancel" not in ann.ask(service, "GET", f"{own}/events").text


@pytest.mark.parametrize("service", SERVICES)
def test_names_that_callers_choose_are_each_owner_s_own(guarded: Guarded, service: str) -> None:
    name = str(uuid4())
    made = []
    for number, owner in enumerate((guarded.owner("ann"), guarded.owner("bob"))):
        body = REQUESTS[service] | {"external_id": name, "labels": {"n": str(number)}}
        answer = owner.ask(service, "POST", SERVICES[service], json=body, headers={"Idempotency-Key": name})
        assert answer.status_code == 202, answer.text
        batch = owner.ask(service, "POST", "/batches", json=[body], headers={"Idempotency-Key": name})
        made.append((answer.json()["id"], batch.json()["id"]))
    assert made[0][0] != made[1][0]
    assert made[0][1] != made[1][1]


@pytest.mark.parametrize("service", SERVICES)
def test_every_endpoint_wants_a_key_and_its_scope(guarded: Guarded, service: str) -> None:
    ann, other = guarded.owner("ann"), guarded.owner("ann", "solve:read" if service == "planner" else "plans:read")
    nobody = Owner(guarded.stack, "astro_00000000_guess")
    ids = {"job_id": str(uuid4()), "delivery_id": str(uuid4()), "batch_id": str(uuid4()), "calibration": str(uuid4())}
    for method, path in operations(ann, service):
        assert nobody.ask(service, method, filled(path, ids)).status_code == 401, (method, path)
        body = {"json": {}} if method == "POST" else {}
        assert other.ask(service, method, filled(path, ids), **body).status_code == 403, (method, path)


def test_a_key_ends_at_once_when_it_is_revoked_or_expires(guarded: Guarded) -> None:
    now = datetime.now(UTC)
    revoked, expired = guarded.owner("ann"), guarded.owner("ann", expires_at=now - timedelta(seconds=1))
    for service, path in SERVICES.items():
        assert revoked.ask(service, "GET", path).status_code == 200
        assert expired.ask(service, "GET", path).status_code == 401
    guarded.revoke(revoked, now)
    for service, path in SERVICES.items():
        assert revoked.ask(service, "GET", path).status_code == 401
