"""The models an episode may ask, behind one port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from codetree.engine.ports import LLM, LLMError, LLMErrorKind
from codetree.engine.values import ModelSpec, Price
from codetree.llm.offline import OFFLINE_PREFIX, OfflineProvider
from codetree.llm.openai_compatible import OpenAICompatible
from codetree.llm.recording import Recording, RecordingError, load_recording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codetree.engine.values import LLMCall, LLMReply
    from codetree.settings import CodetreeSettings

_FREE = Price(0.0, 0.0)


class PoolError(ValueError):
    """The models that were asked for can't serve the request: which ``field`` of it is at fault, and what to do."""

    def __init__(self, message: str, *, field: str = "models") -> None:
        super().__init__(message)
        self.field = field


class Provider(LLM, Protocol):
    """An LLM that holds connections."""

    async def aclose(self) -> None: ...


class ModelPool:
    """Routes each call to its model's provider. ``models`` is what an ``EpisodeSpec`` takes."""

    def __init__(
        self, models: Sequence[ModelSpec], providers: Mapping[str, Provider], recordings: Sequence[Recording]
    ) -> None:
        self.models = tuple(models)
        self.recordings = tuple(recordings)
        self._providers = dict(providers)

    async def complete(self, call: LLMCall) -> LLMReply:
        """Ask the call's model. Raises ``LLMError``."""
        provider = self._providers.get(call.model)
        if provider is None:
            raise LLMError(LLMErrorKind.UNKNOWN_MODEL, f"model {call.model!r} is not in this episode's pool")
        return await provider.complete(call)

    async def aclose(self) -> None:
        """Close every provider once."""
        for provider in {id(provider): provider for provider in self._providers.values()}.values():
            await provider.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def resolve_models(requested: Sequence[str], settings: CodetreeSettings) -> ModelPool:
    """The pool for ``requested`` names: ``offline:<recording>``, or a model of the configured endpoint.

    None requested means the configured model. Raises ``PoolError``.
    """
    names = list(dict.fromkeys(requested)) or [_default_model(settings)]
    recordings = {name: _recording(name) for name in names if name.startswith(OFFLINE_PREFIX)}
    online = [name for name in names if name not in recordings]
    providers: dict[str, Provider] = {name: OfflineProvider(recording) for name, recording in recordings.items()}
    if online:
        providers.update(dict.fromkeys(online, _endpoint(settings)))
    models = [ModelSpec(name, _FREE if name in recordings else _price(name, settings)) for name in names]
    return ModelPool(models, providers, list(recordings.values()))


def _default_model(settings: CodetreeSettings) -> str:
    if settings.llm_base_url is None or settings.llm_model is None:
        raise PoolError(
            "no model is configured and none was asked for: set ASTROLABE_LLM_BASE_URL and ASTROLABE_LLM_MODEL, "
            f'or ask for "{OFFLINE_PREFIX}<recording>"'
        )
    return settings.llm_model


def _endpoint(settings: CodetreeSettings) -> OpenAICompatible:
    if settings.llm_base_url is None:
        raise PoolError(
            f'no endpoint is configured: set ASTROLABE_LLM_BASE_URL, or ask only for "{OFFLINE_PREFIX}<recording>"'
        )
    try:
        return OpenAICompatible(
            settings.llm_base_url,
            api_key=settings.llm_api_key,
            timeout_seconds=settings.llm_timeout_seconds,
            max_attempts=settings.llm_max_attempts,
        )
    except ValueError as error:
        raise PoolError(f"ASTROLABE_LLM_BASE_URL: {error}") from error


def _recording(name: str) -> Recording:
    try:
        return load_recording(name.removeprefix(OFFLINE_PREFIX))
    except RecordingError as error:
        raise PoolError(str(error.args[0])) from error


def _price(name: str, settings: CodetreeSettings) -> Price | None:
    """The settings price one model; another model's price is unknown."""
    if name != settings.llm_model:
        return None
    if settings.llm_input_usd_per_million is None or settings.llm_output_usd_per_million is None:
        return None
    return Price(settings.llm_input_usd_per_million, settings.llm_output_usd_per_million)
