"""A plan as the file of who will run it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from astrolabe.calls import PLANS, Call

if TYPE_CHECKING:
    import httpx

    from astrolabe.operations import Operation, Operations


class ExportFormat(StrEnum):
    """Who reads the file; ``trace`` is for Perfetto."""

    MEGATRON = "megatron"
    NEMO = "nemo"
    TORCHTITAN = "torchtitan"
    DEEPSPEED = "deepspeed"
    TRACE = "trace"


@dataclass(frozen=True, slots=True)
class Export:
    """The file, and the name and media type that the planner gives it."""

    filename: str
    media_type: str
    text: str


def read(operations: Operations, job_id: str, export_format: ExportFormat | str, rank: int) -> Operation[Export]:
    """The export of a finished plan's candidate. Raises ``ApiProblem`` 422 where the format cannot express it."""
    path = f"{PLANS.path}/{quote(job_id, safe='')}/exports/{quote(export_format, safe='')}"
    response = yield from operations.exchange(Call(PLANS.service, "GET", path, params=[("rank", str(rank))]))
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    return Export(_filename(response) or f"plan-{export_format}", media_type, response.text)


def _filename(response: httpx.Response) -> str:
    """The name that the service gives the file, without any folder."""
    disposition: str = response.headers.get("Content-Disposition", "")
    _, _, quoted = disposition.partition('filename="')
    return quoted.partition('"')[0].rpartition("/")[2]
