from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from astrolabe import ConfigurationError, WebhookVerificationError, verify_webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The test vector that the Standard Webhooks libraries share."""
NOW = 1614265330.0


def signed(body: bytes) -> dict[str, str]:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = b".".join((HEADERS["webhook-id"].encode(), HEADERS["webhook-timestamp"].encode(), body))
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {**HEADERS, "webhook-signature": f"v1,{signature}"}


def test_the_standard_s_own_example_is_accepted() -> None:
    assert verify_webhook(HEADERS, BODY, SECRET, now=NOW) == {"test": 2432232314}


def test_names_of_headers_have_no_case_and_a_secret_needs_no_prefix() -> None:
    headers = {name.title(): value for name, value in HEADERS.items()}
    assert verify_webhook(headers, BODY, SECRET.removeprefix("whsec_"), now=NOW)


def test_one_good_signature_among_others_is_enough() -> None:
    signatures = f"v1a,xx v1,%% v1,AAAA {HEADERS['webhook-signature']}"
    assert verify_webhook({**HEADERS, "webhook-signature": signatures}, BODY, SECRET, now=NOW)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"webhook-id": "msg_other"}, "No webhook-signature matches"),
        ({"webhook-timestamp": "1614265331"}, "No webhook-signature matches"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "No webhook-signature matches"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
        ({"webhook-timestamp": "soon"}, "not Unix time"),
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(WebhookVerificationError, match=said):
        verify_webhook({**HEADERS, **change}, BODY, SECRET, now=NOW)


def test_a_changed_body_and_another_secret_are_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook(HEADERS, BODY + b" ", SECRET, now=NOW)
    with pytest.raises(WebhookVerificationError):
        verify_webhook(HEADERS, BODY, base64.b64encode(b"another").decode(), now=NOW)


@pytest.mark.parametrize("now", [NOW + 301, NOW - 301])
def test_an_old_delivery_is_refused_and_so_is_one_from_the_future(now: float) -> None:
    with pytest.raises(WebhookVerificationError, match="301 s away from this machine's clock"):
        verify_webhook(HEADERS, BODY, SECRET, now=now)
    assert verify_webhook(HEADERS, BODY, SECRET, now=now, tolerance_seconds=302)


def test_the_clock_is_this_machine_s_unless_given() -> None:
    with pytest.raises(WebhookVerificationError, match="clock"):
        verify_webhook(HEADERS, BODY, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!"])
def test_a_secret_that_is_none_says_so(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="whsec_"):
        verify_webhook(HEADERS, BODY, secret, now=NOW)


@pytest.mark.parametrize("document", [b"[1]", b"<html>", json.dumps("text").encode()])
def test_only_objects_are_deliveries(document: bytes) -> None:
    with pytest.raises(WebhookVerificationError, match="is signed, but"):
        verify_webhook(signed(document), document, SECRET, now=NOW)
