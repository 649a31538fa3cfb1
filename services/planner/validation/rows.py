"""Rows of the measured-throughput table, as text with typed access."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NEEDED = (
    *("layers", "hidden", "heads", "vocab", "seq_len", "attn_type", "gpu_type", "num_gpus", "gpus_per_node"),
    *("precision", "tp", "pp", "micro_batch", "global_batch", "iter_time_s_best"),
)
"""The columns without which no row could be priced; where another one is absent, no row states it."""
_DELIMITERS = ",;\t"
_NOT_STATED = frozenset({"", "nan", "na", "n/a", "null"})
_BOOLEANS = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}
_EXCESS = " excess"
"""The key of cells beyond the header's; no column has a name that begins with a blank."""


class RowsError(ValueError):
    """The file is no table of measurements."""


class InexpressibleError(ValueError):
    """A row the engine cannot price: its message says which field and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `line` is where it ends in its file."""

    fields: Mapping[str, str]
    line: int = 0

    def text(self, column: str) -> str:
        """Return the cell without surrounding blanks; empty when not stated, which spreadsheets write as NaN too."""
        text = (self.fields.get(column) or "").strip()
        return "" if text.casefold() in _NOT_STATED else text

    def number(self, column: str) -> float | None:
        """Return the cell as a finite number, None when empty; InexpressibleError when it is neither."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise InexpressibleError(f"{column}: {text!r} is not a number") from error
        if not math.isfinite(value):
            raise InexpressibleError(f"{column}: {text!r} is not a finite number")
        return value

    def integer(self, column: str, default: int) -> int:
        """Return the cell as a whole number of at least 0, `default` when empty."""
        value = self.number(column)
        if value is None:
            return default
        if value != int(value):
            raise InexpressibleError(f"{column}: {value} is not a whole number")
        if value < 0:
            raise InexpressibleError(f"{column}: {value:g} is negative")
        return int(value)

    def degree(self, column: str) -> int:
        """Return a parallel degree; one where the row says nothing, or 0."""
        return self.integer(column, 1) or 1

    def needed(self, column: str) -> int:
        """Return a positive integer; InexpressibleError when it is missing."""
        if not self.text(column):
            raise InexpressibleError(f"{column}: missing")
        value = self.integer(column, 0)
        if value < 1:
            raise InexpressibleError(f"{column}: {value} is not positive")
        return value

    def flag(self, column: str) -> bool | None:
        """Return the cell as yes or no, None when empty; InexpressibleError when it is neither."""
        text = self.text(column)
        if text and text.casefold() not in _BOOLEANS:
            raise InexpressibleError(f"{column}: {text!r} is neither 1 nor 0")
        return _BOOLEANS.get(text.casefold())

    @property
    def id(self) -> str:
        """Identifier in the table; the line where the row has none."""
        return self.text("id") or f"line {self.line}"

    @property
    def excess(self) -> bool:
        """Whether the row has more cells than the header."""
        return _EXCESS in self.fields


def read_rows(path: Path) -> list[Row]:
    """Return every row of a CSV file delimited by commas, semicolons or tabs; RowsError when it is no table of rows."""
    text = _text_of(path)
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey=_EXCESS, delimiter=delimiter)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        _check_columns(path, names)
        reader.fieldnames = names
        return [Row(fields, reader.line_num) for fields in reader]
    except csv.Error as error:
        raise RowsError(f"{path}: line {reader.line_num}: {error}") from error


def _text_of(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RowsError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RowsError(f"{path}: is not UTF-8 text; save it as CSV UTF-8") from error
    if "\0" in text:
        raise RowsError(f"{path}: holds zero bytes; save it as CSV UTF-8")
    return text


def _check_columns(path: Path, names: list[str]) -> None:
    if not any(names):
        raise RowsError(f"{path}: is empty; its first line must name the columns of measured_throughput.csv")
    missing = [column for column in NEEDED if column not in names]
    if missing:
        raise RowsError(f"{path}: missing columns {', '.join(missing)}; send the layout of measured_throughput.csv")
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        raise RowsError(f"{path}: columns that stand twice: {', '.join(repeated)}; keep one of each")
