"""Read the request log: rows as a table, statistics as columns, and rows joined with the right answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.request_log.feedback import read_feedback
from flows.request_log.records import SCHEMA, segments
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

KEY = ["request_id", "position"]
ATTEMPTS = 10
"""How often the log is listed anew when a file was merged or deleted while it was read."""


def read_requests(
    root: Path, use_case: str, *, since: datetime | None = None, columns: Sequence[str] = (), limit: int = 0
) -> DataFrame:
    """The rows of the log in the order of time, each once, with the columns of `SCHEMA` or those named.

    `since` leaves out rows at or before that time, `limit` all but the last ones. The columns `input` and `probabilities` are
    large: name what is needed. Raises a `UserError` that names a file that cannot be read.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    chosen = list(columns or SCHEMA.names)
    read = [name for name in SCHEMA.names if name in {*chosen, *KEY, "at"}]
    newer = pc.field("at") > pa.scalar(since, SCHEMA.field("at").type) if since else None
    for _ in range(ATTEMPTS):
        try:
            tables = _tables(segments(root, use_case), read, newer, limit)
            break
        except FileNotFoundError:
            continue  # merged or deleted meanwhile: its rows are in a file that the list did not have yet
    else:
        raise UserError(f"the request log of {use_case} changed {ATTEMPTS} times while it was read; try again")
    table = pa.concat_tables(tables) if tables else pa.schema([SCHEMA.field(name) for name in read]).empty_table()
    frame: DataFrame = table.to_pandas(maps_as_pydicts="strict")
    frame = frame.drop_duplicates(KEY).sort_values(["at", *KEY], kind="stable").tail(limit or len(frame))
    frame["position"] = frame["position"].astype("int32")
    return pd.DataFrame(frame[chosen]).reset_index(drop=True)


def _tables(paths: Sequence[Path], columns: list[str], newer: Any, limit: int) -> list[Any]:
    """The rows of the files, the newest file first; with a limit only as many files as it takes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables, count = list[Any](), 0
    for path in reversed(paths):
        if limit and count >= 2 * limit:
            break  # files hardly overlap in time: what is older than twice as many rows is not among the last ones
        try:
            table = pq.read_table(path, columns=columns, partitioning=None, filters=newer)
        except pa.ArrowException as error:
            raise UserError(f"{path} is no file of the request log ({str(error)[:80]}); delete it") from None
        tables.append(table)
        count += len(table)
    return tables


def statistics_columns(requests: DataFrame) -> DataFrame:
    """The statistics of each row as columns: those of `numbers` as floats (NaN where missing), of `categories` as text."""
    import pandas as pd

    parts = [pd.DataFrame([value or {} for value in requests[name]], index=requests.index) for name in ("numbers", "categories")]
    return pd.concat(parts, axis=1)


def read_labelled(root: Path, use_case: str, *, columns: Sequence[str] = ()) -> DataFrame:
    """The rows of the log for which a right answer was sent, with `label`, `source` and `labelled_at`; the last answer counts."""
    feedback = read_feedback(root, use_case).drop_duplicates(KEY, keep="last").rename(columns={"at": "labelled_at"})
    chosen = list(dict.fromkeys([*KEY, *(columns or SCHEMA.names)]))
    return read_requests(root, use_case, columns=chosen).merge(feedback, on=KEY, how="inner")
