from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.validation_rows import LLAMA, row, write_table
from typer.testing import CliRunner

from planner.__main__ import app
from planner.calibration.defaults import measurements_path
from planner.validation.convert import case_of, warnings_of
from planner.validation.holdout import calibrated
from planner.validation.metrics import Prediction
from planner.validation.report import memory_of, read_cases, report_of
from planner.validation.rows import NEEDED, InexpressibleError, Row, RowsError, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

MEASURED = read_rows(measurements_path())
COLUMNS = tuple(MEASURED[0].fields)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def report(path: str, *options: str) -> dict[str, Any]:
    result = run("validate", path, "--json", *options)
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_dialects_of_spreadsheets_are_one_table(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = write_table(tmp_path / "rows.csv", row(), delimiter=delimiter, encoding=encoding)
    assert report(path)["used"] == 1


def test_order_and_number_of_columns_do_not_matter(tmp_path: Path) -> None:
    plain = report(write_table(tmp_path / "plain.csv", row()))
    more = write_table(tmp_path / "more.csv", row(comment="ours"), columns=sorted([*LLAMA, "comment"]))
    assert report(more)["predictions"] == plain["predictions"]


def test_only_the_needed_columns_are_needed(tmp_path: Path) -> None:
    answer = report(write_table(tmp_path / "rows.csv", row(), columns=NEEDED))
    assert [one["id"] for one in answer["predictions"]] == ["line 2"]


def test_numbers_as_a_data_frame_writes_them_mean_the_same() -> None:
    floats = {"gated_ffn": "1.0", "tied_emb": "0.0", "layers": "32.0", "dist_opt": "1.0", "peak_mem_gb": "nan"}
    assert case_of(row(**floats)).run == case_of(row(dist_opt="1")).run


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "missing columns layers"),
        ("id,layers\nx,caf\u00e9\n".encode("latin-1"), "is not UTF-8"),
        ("id,layers\n".encode("utf-16"), "is not UTF-8"),
        ("id,layers\n".encode("utf-16-le"), "zero bytes"),
        (",".join([*NEEDED, "tp"]).encode(), "stand twice: tp"),
        (",".join(NEEDED).encode() + b'\n"' + b"x" * 200_000, "field larger than"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    for command in ("validate", "calibrate", "crossvalidate"):
        result = run(command, str(path))
        assert result.exit_code == 2
        assert says in result.stderr
        assert result.stderr.count("\n") == 1


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(RowsError, match=path.name):
            read_rows(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iter_time_s_best": "-3"}, "iter_time_s_best: -3 is no time"),
        ({"iter_time_s_best": "NaN"}, "iter_time_s_best: missing"),
        ({"iter_time_s_best": "inf"}, "iter_time_s_best: 'inf' is not a finite number"),
        ({"iter_time_s_best": "1e12"}, r"iter_time_s_best: 1e\+12 is no time"),
        ({"peak_mem_gb": "-1"}, "peak_mem_gb: -1 is no peak"),
        ({"layers": "0"}, "layers: 0 is not positive"),
        ({"layers": "-4"}, "layers: -4 is negative"),
        ({"cp": "-2"}, "cp: -2 is negative"),
        ({"sequence_parallel": "maybe"}, "sequence_parallel: 'maybe' is neither 1 nor 0"),
        ({"global_batch": "1e30", "micro_batch": "1"}, "got 10000000"),
    ],
)
def test_a_bad_cell_is_named_with_its_value(changes: dict[str, str], says: str) -> None:
    with pytest.raises(InexpressibleError, match=says):
        case_of(row(**changes))


def test_a_degree_of_zero_is_one() -> None:
    assert case_of(row(cp="0", ep="0", vpp="0")).run == case_of(row()).run


def test_a_row_that_is_too_long_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_table(path, row())
    path.write_text(path.read_text() + "," * 200 + "\n")
    (skipped,) = report(str(path))["skipped"]
    assert "more cells than the header" in skipped["reason"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"grad_accum": "3"}, "grad_accum: 3 x micro_batch x dp"),
        ({"gpu_mem_gb": "24"}, "gpu_mem_gb: 24 of A100"),
    ],
)
def test_what_contradicts_itself_is_warned_of(changes: dict[str, str], says: str) -> None:
    assert warnings_of(row(grad_accum="16")) == []
    (warning,) = warnings_of(row(**changes))
    assert says in warning


def test_ids_that_stand_twice_are_warned_of() -> None:
    reading = read_cases([row(), row(micro_batch="2")])
    assert (len(reading.priced), reading.warnings) == (2, [{"id": "a-run", "warning": "id: stands more than once"}])


def test_people_are_told_of_every_row_that_is_skipped_or_doubtful(tmp_path: Path) -> None:
    path = write_table(tmp_path / "rows.csv", row(id="good", grad_accum="3"), row(id="bad", heads=""))
    text = run("validate", path).stdout
    assert "skipped 1, bad: heads: missing" in text
    assert "warned of 1, good: grad_accum" in text


def test_a_fit_needs_runs_and_cross_validation_needs_two_folds(tmp_path: Path) -> None:
    none = write_table(tmp_path / "none.csv", row(heads=""))
    assert "a-run: heads: missing" in run("calibrate", none).stderr
    one = write_table(tmp_path / "one.csv", row(tier=""))
    assert "every run is of one group" in run("crossvalidate", one, "--leave", "group").stderr
    assert "[[gpu]]" in run("calibrate", one).stdout


CELLS = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-inf", "-1", "0", "1", "2", "3", "7", "0.5", "1e308", "1e400", "9" * 30, "1e-300"]
    ),
    st.sampled_from(
        ["abc", "True", "None", "1;2", " 8 ", "1_000", "-0", "2147483648", "lora", "H200", "RTX-4090", "fp8"]
    ),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)


@given(st.sampled_from(MEASURED), st.dictionaries(st.sampled_from(COLUMNS), CELLS, max_size=3), st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_a_cell_holds_its_row_is_predicted_or_skipped_with_a_reason(
    measured: Row, changes: dict[str, str], fitted: bool
) -> None:
    reading = read_cases([Row({**measured.fields, **changes}), measured])
    assert len(reading.priced) + len(reading.skipped) == reading.rows
    assert all(": " in one["reason"] or "cells" in one["reason"] for one in reading.skipped)
    predictions = [Prediction(one.case, one.seconds()) for one in reading.priced]
    if fitted:
        predictions, _ = calibrated(reading.priced, 1)
    assert all(0 < one.predicted < math.inf for one in predictions)
    json.dumps(report_of(reading, predictions, memory_of(reading.priced)), allow_nan=False)
