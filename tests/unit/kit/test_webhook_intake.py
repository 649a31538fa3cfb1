"""What a webhook's address is refused for before its job is accepted, and what the refusal tells of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from pydantic import AnyHttpUrl

from kit.problems import Problem, field_error, without_credentials
from kit.webhooks.intake import target_of
from kit.webhooks.views import DeliveryView

INSIDE = [
    "http://127.0.0.1:9000/hook?token=s3cret", "https://10.0.0.8/s3cret", "http://192.168.1.1/", "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data", "http://[::1]:81/", "http://[fd00::1]/", "http://[fe80::1]/",
    "http://[::ffff:127.0.0.1]/", "http://[2002:7f00:1::]/", "http://0.0.0.0/", "http://2130706433/", "http://0x7f.1/",
    "http://127.0.0.1./", "http://224.0.0.1/", "http://100.64.0.1/", "http://localhost:8003/", "http://LOCALHOST./",
    "http://planner.localhost/",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused_unless_the_operator_allows_it(address: str) -> None:
    with pytest.raises(Problem) as refused:
        target_of(AnyHttpUrl(address), allow_private=False)
    [error] = refused.value.errors
    assert (refused.value.status, error.field) == (422, "webhook")
    assert "ASTROLABE_WEBHOOK_ALLOW_PRIVATE" in str(error.remedy)
    assert "s3cret" not in f"{refused.value.detail} {error}"
    assert target_of(AnyHttpUrl(address), allow_private=True) == str(AnyHttpUrl(address))


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("user", ["me:s3cret", "s3cret", ":s3cret"])
def test_a_user_or_password_is_refused_and_not_told(user: str, allow_private: bool) -> None:
    with pytest.raises(Problem) as refused:
        target_of(AnyHttpUrl(f"https://{user}@hooks.example/in"), allow_private=allow_private)
    [error] = refused.value.errors
    assert (error.field, error.value) == ("webhook", "https://hooks.example:443")
    assert "user:password@" in str(error.remedy)
    assert "s3cret" not in f"{refused.value.detail} {error}"


@pytest.mark.parametrize(
    "address", ["https://hooks.example/in?x=1", "http://93.184.216.34:8443/", "http://[2606:4700::1]/"]
)
def test_what_may_be_outside_is_accepted_as_it_is(address: str) -> None:
    assert target_of(AnyHttpUrl(address), allow_private=False) == address


def test_no_webhook_is_none() -> None:
    assert target_of(None, allow_private=False) is None


def test_an_address_that_is_none_is_shown_without_its_password() -> None:
    item = {"loc": ("body", "webhook"), "type": "url_scheme", "msg": "wrong", "input": "ftp://me:p@s3cret@host/x"}
    assert field_error(item).value == "ftp://…@host/x"
    assert without_credentials("mail me@host, or https://host/@me") == "mail me@host, or https://host/@me"


def test_a_delivery_shows_no_credentials_of_its_address() -> None:
    view = DeliveryView(
        id=uuid4(),
        url="https://me:s3cret@hooks.example/in?token=s3cret",
        payload={},
        status="pending",
        attempts=0,
        next_attempt_at=None,
        response_status=None,
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )
    assert view.url == "https://…@hooks.example/in?…"
