"""Where the services are, and the key they are called with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

import httpx

from astrolabe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

API_KEY_VARIABLE = "ASTROLABE_API_KEY"


class Service(StrEnum):
    """A service this client talks to."""

    PLANNER = "planner"
    CODETREE = "codetree"

    @property
    def variable(self) -> str:
        """The environment variable that holds its address."""
        return f"ASTROLABE_{self.upper()}_URL"

    @property
    def default_url(self) -> str:
        return {Service.PLANNER: "http://127.0.0.1:8001", Service.CODETREE: "http://127.0.0.1:8002"}[self]


@dataclass(frozen=True, slots=True)
class Config:
    """The base URLs by service, without a trailing slash, and the API key."""

    urls: Mapping[Service, str]
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def resolve(
        cls,
        *,
        planner_url: str | None = None,
        codetree_url: str | None = None,
        api_key: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """What is given, else what the environment says, else the default ports on this machine."""
        given = {Service.PLANNER: planner_url, Service.CODETREE: codetree_url}
        urls = {
            service: _checked(service, url or environment.get(service.variable) or service.default_url)
            for service, url in given.items()
        }
        return cls(urls, _checked_key(api_key or environment.get(API_KEY_VARIABLE) or None))


def _checked(service: Service, url: str) -> str:
    remedy = f"set {service.variable} to something like {service.default_url}"
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is not a URL ({error}): {remedy}.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{url!r} is not an http or https URL with a host: {remedy}.")
    return url.rstrip("/")


def _checked_key(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigurationError(f"{API_KEY_VARIABLE} holds characters no key has: set it to the key as it was shown.")
    return key
