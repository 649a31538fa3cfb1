"""Exports as bytes: JSON Lines, episode by episode, and the manifest of what was streamed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from codetree.export.atif import SCHEMA_VERSION
from codetree.export.formats import ExportKind, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from codetree.export.episode import Finished
    from codetree.export.filters import Filters

FORMAT_VERSION = "1"


async def lines(kind: ExportKind, pages: AsyncIterator[Sequence[Finished]], filters: Filters) -> AsyncIterator[bytes]:
    """The export; only a page of episodes is in memory at once."""
    seen: set[tuple[str, str]] = set()
    async for page in pages:
        for episode in page:
            for record in records(kind, episode, filters, seen):
                yield json.dumps(record, ensure_ascii=False, sort_keys=True).encode(errors="replace") + b"\n"


async def manifest(kind: ExportKind, pages: AsyncIterator[Sequence[Finished]], filters: Filters) -> dict[str, Any]:
    """Count, size and SHA-256 of the same export, with what it was made from."""
    digest, count, size = hashlib.sha256(), 0, 0
    async for line in lines(kind, pages, filters):
        digest.update(line)
        count, size = count + 1, size + len(line)
    return {
        "kind": kind.value,
        "format_version": SCHEMA_VERSION if kind is ExportKind.ATIF else FORMAT_VERSION,
        "filters": filters.model_dump(mode="json"),
        "records": count,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }
