"""The shared bearer token of those who may run programs."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from kit.problems import Problem

if TYPE_CHECKING:
    from fastapi import Request
    from pydantic import SecretStr


def require_token(request: Request, expected: SecretStr | None) -> None:
    """Raise the 401 problem unless the request carries the token. Compared in constant time."""
    if expected is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), expected.get_secret_value().encode())
    if scheme.lower() != "bearer" or not matches:
        raise Problem(
            401,
            "unauthorized",
            "A valid token is required",
            "send Authorization: Bearer with the value of ASTROLABE_SANDBOX_TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
