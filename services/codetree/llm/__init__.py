"""Who writes the programs: OpenAI-compatible endpoints, or a recording."""

from codetree.llm.offline import OFFLINE_PREFIX, OfflineProvider
from codetree.llm.openai_compatible import OpenAICompatible
from codetree.llm.pool import ModelPool, PoolError, resolve_models
from codetree.llm.providers import Providers
from codetree.llm.recording import Recording, RecordingError, load_recording, recording_names

__all__ = [
    "OFFLINE_PREFIX",
    "ModelPool",
    "OfflineProvider",
    "OpenAICompatible",
    "PoolError",
    "Providers",
    "Recording",
    "RecordingError",
    "load_recording",
    "recording_names",
    "resolve_models",
]
