"""From a request and the settings to an episode the engine can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codetree.engine.answers import AnswerFormat, AnswerType
from codetree.engine.budget import Limits
from codetree.engine.spec import EpisodeSpec
from codetree.executor import SandboxExecutor
from codetree.llm.pool import PoolError
from codetree.schemas.requests import HttpToolRequest, LLMToolRequest
from codetree.tools.http import ToolUrlError, check_url
from kit.problems import FieldError, Problem, invalid_request

if TYPE_CHECKING:
    import httpx

    from codetree.gateway import Gateway
    from codetree.llm.pool import ModelPool
    from codetree.llm.recording import Recording
    from codetree.schemas import SolveRequest
    from codetree.settings import CodetreeSettings


def build_spec(request: SolveRequest, pool: ModelPool, settings: CodetreeSettings) -> EpisodeSpec:
    """The engine's view of ``request``. Raises ``PoolError`` when its models can't serve it."""
    for recording in pool.recordings:
        _check_replayable(request, recording)
    _check_urls(request, settings)
    _check_asked(request, pool)
    unpriced = [model.name for model in pool.models if model.price is None]
    if request.limits.money_usd is not None and unpriced:
        raise PoolError(
            f"a money limit can't be kept: no price is known for {', '.join(unpriced)}; set "
            "ASTROLABE_LLM_INPUT_USD_PER_MILLION and ASTROLABE_LLM_OUTPUT_USD_PER_MILLION for ASTROLABE_LLM_MODEL, "
            "the model's prices in ASTROLABE_MODELS_FILE, or limit tokens instead",
            field="limits.money_usd",
        )
    answer_format = AnswerFormat(AnswerType(request.answer_format.type), request.answer_format.tolerance)
    return EpisodeSpec(
        task=request.task,
        models=pool.models,
        policy=request.policy.to_policy(),
        tools=tuple(tool.to_tool() for tool in request.tools),
        limits=Limits(**request.limits.model_dump()),
        answer_format=answer_format,
        seed=request.seed,
        concurrency=settings.episode_concurrency,
    )


def sandbox_executor(
    settings: CodetreeSettings,
    *,
    client: httpx.AsyncClient | None = None,
    owner: str | None = None,
    gateway: Gateway | None = None,
    request_id: str | None = None,
) -> SandboxExecutor:
    """The executor that the settings name, for one episode; ``client`` holds the connections it may share.

    Without a ``gateway`` programs can't call hosted functions.
    """
    return SandboxExecutor(
        settings.sandbox_url,
        token=settings.sandbox_token,
        max_attempts=settings.sandbox_max_attempts,
        client=client,
        owner=owner,
        gateway=gateway,
        request_id=request_id,
    )


def _check_urls(request: SolveRequest, settings: CodetreeSettings) -> None:
    for index, tool in enumerate(request.tools):
        if isinstance(tool, HttpToolRequest):
            try:
                check_url(tool.url, settings.tool_origins, allow_loopback=settings.profile == "development")
            except ToolUrlError as error:
                remedy = "add it to ASTROLABE_TOOL_ORIGINS, and to ASTROLABE_SANDBOX_TOOL_ORIGINS"
                raise PoolError(f"{tool.url!r} {error}; {remedy}", field=f"tools.{index}.url") from error


def _check_asked(request: SolveRequest, pool: ModelPool) -> None:
    """The model that programs may ask is one of the episode's, so that its price and its secrets are known."""
    known = [model.name for model in pool.models]
    for index, tool in enumerate(request.tools):
        if isinstance(tool, LLMToolRequest) and tool.model is not None and tool.model not in known:
            message = f"{tool.model!r} is not among the episode's models: {', '.join(known)}; add it to models"
            raise PoolError(message, field=f"tools.{index}.model")


def _check_replayable(request: SolveRequest, recording: Recording) -> None:
    """A recording answers its own task; replayed for another it would be an answer to nothing."""
    given = request.model_dump(mode="json")
    for name in ("task", "tools"):
        if given[name] != recording.request.get(name, []):
            raise PoolError(
                f"the recording {recording.name!r} answers its own task with its own tools only; "
                f"POST the request that is its field 'request' (codetree/recordings/{recording.name}.json)",
                field=name,
            )


def unusable_models(error: PoolError) -> Problem:
    """The 422 for models that can't serve a request."""
    return invalid_request([FieldError(field=error.field, message=str(error))])
