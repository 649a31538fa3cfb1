"""The models a process can ask: connections, gates and prices, shared by all its episodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from codetree.engine.ports import LLMError
from codetree.llm.gate import Gate
from codetree.llm.offline import OFFLINE_PREFIX
from codetree.llm.openai_compatible import OpenAICompatible
from codetree.llm.pool import PoolError
from codetree.llm.registry import (
    Capabilities,
    Endpoint,
    Model,
    Registry,
    RegistryError,
    load_registry,
    read_secret,
    secret_variable,
)
from codetree.metrics import OTHER_MODELS, count_failure, count_reply

if TYPE_CHECKING:
    from codetree.engine.values import LLMCall, LLMReply, Price
    from codetree.settings import CodetreeSettings


@dataclass(frozen=True, slots=True)
class Offered:
    """One model: how it is asked, what it costs, and how metrics call it."""

    label: str
    name: str
    price: Price | None
    capabilities: Capabilities
    gate: Gate
    endpoint: OpenAICompatible

    async def complete(self, call: LLMCall) -> LLMReply:
        """One reply, once the gate lets the call pass. Raises ``LLMError``."""
        try:
            async with self.gate.passing():
                reply = await self.endpoint.complete(replace(call, model=self.name), self.capabilities)
        except LLMError as error:
            count_failure(self.label, error)
            raise
        count_reply(self.label, reply, self.price)
        return reply


class Providers:
    """The registry's models, and any other name at the endpoint that the settings name."""

    def __init__(self, settings: CodetreeSettings, registry: Registry | None = None) -> None:
        self._settings = settings
        self._registry = registry or _registry(settings)
        self._endpoints: dict[str | None, OpenAICompatible] = {}
        self._offered: dict[str, Offered] = {}

    def default_model(self) -> str:
        """The model of requests that name none. Raises ``PoolError`` when there is none."""
        if self._settings.llm_model is not None:
            return self._settings.llm_model
        if self._registry.models:
            return next(iter(self._registry.models))
        raise PoolError(
            "no model is configured and none was asked for: set ASTROLABE_LLM_BASE_URL and ASTROLABE_LLM_MODEL, "
            f'or ASTROLABE_MODELS_FILE, or ask for "{OFFLINE_PREFIX}<recording>"'
        )

    def get(self, name: str) -> Offered:
        """The model of that name. Raises ``PoolError`` naming those there are."""
        if name not in self._offered:
            entry = self._registry.models.get(name)
            self._offered[name] = self._plain(name) if entry is None else self._registered(name, entry)
        return self._offered[name]

    def offers(self) -> list[tuple[str, Model]]:
        """The registry's models, for whoever lists them."""
        return list(self._registry.models.items())

    async def aclose(self) -> None:
        """Close every connection."""
        for endpoint in self._endpoints.values():
            await endpoint.aclose()
        self._endpoints.clear()
        self._offered.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _registered(self, name: str, entry: Model) -> Offered:
        gate = Gate(entry.concurrency, entry.requests_per_minute)
        endpoint = self._endpoint(entry.endpoint, self._registry.endpoints[entry.endpoint])
        return Offered(name, entry.model or name, entry.price, entry.capabilities, gate, endpoint)

    def _plain(self, name: str) -> Offered:
        """A name that is not registered is asked of the endpoint in the settings, which price one model."""
        settings = self._settings
        if settings.llm_base_url is None:
            known = ", ".join(self._registry.models)
            there_are = f"; the registry has: {known}" if known else ""
            raise PoolError(
                f"no endpoint is configured for {name!r}{there_are}: set ASTROLABE_LLM_BASE_URL, "
                f'or ask only for "{OFFLINE_PREFIX}<recording>"'
            )
        endpoint = Endpoint(
            base_url=settings.llm_base_url,
            timeout_seconds=settings.llm_timeout_seconds,
            max_attempts=settings.llm_max_attempts,
        )
        is_default = name == settings.llm_model
        label, price = (name, settings.llm_price) if is_default else (OTHER_MODELS, None)
        return Offered(label, name, price, Capabilities(), Gate(), self._endpoint(None, endpoint))

    def _endpoint(self, name: str | None, endpoint: Endpoint) -> OpenAICompatible:
        if name not in self._endpoints:
            variable = "ASTROLABE_LLM_API_KEY" if endpoint.secret is None else secret_variable(endpoint.secret)
            try:
                self._endpoints[name] = OpenAICompatible(
                    endpoint.base_url,
                    api_key=self._settings.llm_api_key if name is None else read_secret(endpoint.secret),
                    timeout_seconds=endpoint.timeout_seconds,
                    max_attempts=endpoint.max_attempts,
                    key_variable=variable,
                )
            except RegistryError as error:
                raise PoolError(f"endpoint {name}: {error}") from error
            except ValueError as error:
                place = "ASTROLABE_LLM_BASE_URL" if name is None else f"endpoints.{name}.base_url"
                raise PoolError(f"{place}: {error}") from error
        return self._endpoints[name]


def _registry(settings: CodetreeSettings) -> Registry:
    if settings.models_file is None:
        return Registry()
    try:
        return load_registry(settings.models_file)
    except RegistryError as error:
        raise PoolError(f"ASTROLABE_MODELS_FILE: {error}") from error
