"""The models an episode may ask, behind one port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codetree.engine.ports import LLM, LLMError, LLMErrorKind
from codetree.engine.values import ModelSpec, Price
from codetree.llm.offline import OFFLINE_PREFIX, OfflineProvider
from codetree.llm.recording import Recording, RecordingError, load_recording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codetree.engine.values import LLMCall, LLMReply
    from codetree.llm.providers import Providers

_FREE = Price(0.0, 0.0)


class PoolError(ValueError):
    """The models that were asked for can't serve the request: which ``field`` of it is at fault, and what to do."""

    def __init__(self, message: str, *, field: str = "models") -> None:
        super().__init__(message)
        self.field = field


class WeightedName(Protocol):
    """A model as a request names it."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...


class ModelPool:
    """Routes each call to its model's provider. ``models`` is what an ``EpisodeSpec`` takes."""

    def __init__(self, models: Sequence[ModelSpec], llms: Mapping[str, LLM], recordings: Sequence[Recording]) -> None:
        self.models = tuple(models)
        self.recordings = tuple(recordings)
        self._llms = dict(llms)

    async def complete(self, call: LLMCall) -> LLMReply:
        """Ask the call's model. Raises ``LLMError``."""
        llm = self._llms.get(call.model)
        if llm is None:
            raise LLMError(LLMErrorKind.UNKNOWN_MODEL, f"model {call.model!r} is not in this episode's pool")
        return await llm.complete(call)


def resolve_models(requested: Sequence[WeightedName], providers: Providers) -> ModelPool:
    """The pool for ``requested`` models: ``offline:<recording>``, or what the providers offer.

    None requested means the default model. Raises ``PoolError``.
    """
    weights = {model.name: model.weight for model in requested} or {providers.default_model(): 1.0}
    llms: dict[str, LLM] = {}
    models, recordings = [], []
    for name, weight in weights.items():
        price: Price | None = _FREE
        if name.startswith(OFFLINE_PREFIX):
            recordings.append(_recording(name))
            llms[name] = OfflineProvider(recordings[-1])
        else:
            offered = providers.get(name)
            llms[name], price = offered, offered.price
        models.append(ModelSpec(name, price, weight))
    return ModelPool(models, llms, recordings)


def _recording(name: str) -> Recording:
    try:
        return load_recording(name.removeprefix(OFFLINE_PREFIX))
    except RecordingError as error:
        raise PoolError(str(error.args[0])) from error
