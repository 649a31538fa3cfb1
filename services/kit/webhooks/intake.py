"""Where a webhook is asked to go, looked at when the job is submitted; names are looked up at delivery (``guard``)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from kit.problems import FieldError, invalid_request
from kit.webhooks.guard import is_public

if TYPE_CHECKING:
    from pydantic import AnyHttpUrl

    from kit.problems import Problem

_WITHOUT_USER = "leave `user:password@` out: deliveries are signed, so a receiver can tell who sent them"
_OUTSIDE = "send a public address; where receivers are inside, the operator sets ASTROLABE_WEBHOOK_ALLOW_PRIVATE=true"


def target_of(webhook: AnyHttpUrl | None, *, allow_private: bool) -> str | None:
    """The address that a job is to be told at. Raises ``Problem`` 422, which tells no path, query or password of it."""
    if webhook is None:
        return None
    if webhook.username is not None or webhook.password is not None:
        raise _refused(webhook, "holds a user name or a password", _WITHOUT_USER)
    if not allow_private and _is_inside(webhook.host or ""):
        raise _refused(webhook, "is not a public address", _OUTSIDE)
    return str(webhook)


def _is_inside(host: str) -> bool:
    """Whether the host is written as an address that is not public, or as a name of this machine (RFC 6761)."""
    try:
        return not is_public(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        name = host.rstrip(".")
        return name == "localhost" or name.endswith(".localhost")


def _refused(webhook: AnyHttpUrl, message: str, remedy: str) -> Problem:
    origin = f"{webhook.scheme}://{webhook.host}:{webhook.port}"
    return invalid_request([FieldError(field="webhook", value=origin, message=message, remedy=remedy)])
