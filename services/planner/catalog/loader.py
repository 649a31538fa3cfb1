"""Reading the catalogue's data files, which ship inside the package."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILES = ("gpus.toml", "models.toml", "prices.toml", "calibrations.toml", "calibrations_fitted.toml")


class UnknownNameError(LookupError):
    """A name the catalogue does not hold; `closest` are the likeliest intended ones."""

    def __init__(self, kind: str, value: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.value = value
        self.closest = difflib.get_close_matches(value.lower(), sorted(known), n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(self.closest)}?" if self.closest else ""
        super().__init__(f"unknown {kind} {value!r}{hint}")


@cache
def read_toml(name: str) -> dict[str, Any]:
    """Return the parsed data file `name` of the catalogue."""
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


@cache
def digest() -> str:
    """SHA-256 over every data file: two engines with the same version and digest give the same answers."""
    state = hashlib.sha256()
    for name in _FILES:
        state.update((resources.files(__package__) / name).read_bytes())
    return state.hexdigest()
