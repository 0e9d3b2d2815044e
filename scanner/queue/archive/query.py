"""Questions to the archive, in DuckDB's SQL. A question reads the archive's files, and nothing else.

Views (docs/archive.md has their columns):

``events``   every entry, with its columns, ``entry`` and ``time``
``scans``    accepted scans
``awards``   what was won, one row each, a giver's share included
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from scanner.errors import ScannerError, missing
from scanner.queue.archive.columns import ENTRY_MS, ENTRY_SEQ, FIELDS, MORE, NAMES
from scanner.queue.archive.manifest import START, segments

try:
    import duckdb
except ImportError:
    raise missing("duckdb", "a question to the archive", "archive") from None

_MEMORY = "2GB"
_SCRATCH = "10GB"  # what does not fit goes to a disk that others need too
_ROWS_AT_ONCE = 1000
_AT_MS_MAX = 253_402_300_799_999  # the year 9999: an entry made by hand may say anything

_EVENTS = f"""
CREATE VIEW events AS
SELECT {ENTRY_MS} || '-' || {ENTRY_SEQ} AS entry,
       CASE WHEN "at" BETWEEN 0 AND {_AT_MS_MAX} THEN make_timestamp("at" * 1000) END AS time, *
FROM stored
"""  # noqa: S608 (names of our own)
_SCANS = """
CREATE VIEW scans AS
SELECT entry, time, id, campaign, member, role, tier, channel, seller, inviter, product, lot, serial,
       CASE WHEN json_valid(loc) THEN TRY_CAST(loc ->> 'lat' AS DOUBLE) END AS lat,
       CASE WHEN json_valid(loc) THEN TRY_CAST(loc ->> 'lng' AS DOUBLE) END AS lng,
       rules, trace, awards, blanks, withheld, unlocked, share
FROM events WHERE type = 'scan.accepted'
"""
_AWARDS = """
CREATE VIEW awards AS
SELECT entry, time, type, id, campaign,
       CASE award ->> 'beneficiary' WHEN 'seller' THEN seller WHEN 'inviter' THEN inviter
            WHEN 'giver' THEN giver ELSE member END AS winner,
       award ->> 'beneficiary' AS beneficiary, award ->> 'pool' AS pool, award ->> 'prize' AS prize,
       award ->> 'kind' AS kind, TRY_CAST(award ->> 'amount' AS BIGINT) AS amount,
       award ->> 'currency' AS currency, award ->> 'coupon' AS coupon, award ->> 'draws' AS draws,
       award ->> 'game' AS game, member, seller, inviter, product, lot, serial
FROM (
    SELECT * EXCLUDE (awards), unnest(awards_of(awards) || awards_of(giver_awards)) AS award FROM events
)
"""
_MACROS = (
    "CREATE MACRO awards_of(text) AS "
    "CASE WHEN json_valid(text) AND json_type(text) = 'ARRAY' THEN from_json(text, '[\"JSON\"]') ELSE [] END",
    "CREATE MACRO local_time(moment, zone) AS (moment AT TIME ZONE 'UTC') AT TIME ZONE zone",
)


T = TypeVar("T")


class QueryError(ScannerError):
    """The question is none, or cannot be answered."""


class Answer(NamedTuple):
    """The columns' names, the rows as they come, and the last entry that the archive has, "0-0" for none."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    last: str


@contextmanager
def asked(directory: Path, sql: str, *, brand: str = "", partition: int = 0) -> Iterator[Answer]:
    """Answers one SELECT. The archive's chain is checked, its files' hashes are not (`queue verify` does).

    Raises:
        QueryError: it is no SELECT, or DuckDB does not take it.
        ArchiveError: there is no archive of the brand, or its manifest was changed.
    """
    files, last, kinds = list[str](), START, set[str]()
    for segment in segments(directory, brand=brand, partition=partition):
        files += [str((directory / file.path).resolve()) for file in segment.files]
        last = segment.last
        kinds.add(segment.columns)
    try:
        statements = duckdb.extract_statements(sql)
        if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
            raise QueryError("expected one SELECT: nothing else is done with an archive")
        with _connected(directory, files, by_name=len(kinds) > 1) as connection, _Aside(connection) as aside:
            found = aside.do(lambda: connection.execute(statements[0]))
            columns = tuple(str(column[0]) for column in found.description or ())
            yield Answer(columns, _rows(lambda: aside.do(lambda: found.fetchmany(_ROWS_AT_ONCE))), last)
    except duckdb.Error as error:
        if "pytz" in str(error):
            text = "a time with its zone cannot be shown: cast it, such as CAST(moment AS TIMESTAMP)"
            raise QueryError(text) from None
        raise QueryError(f"the question was not answered: {' '.join(str(error).split())}") from None


@contextmanager
def _connected(directory: Path, files: list[str], *, by_name: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that can read the archive, and nothing else of this machine. ``by_name``: not all
    files have the same columns; then each is opened once more."""
    with tempfile.TemporaryDirectory(prefix="scanner-query-") as scratch, duckdb.connect() as connection:
        listed = f"[{', '.join(map(_literal, files))}]"
        stored = f"CREATE TABLE stored ({', '.join(_columns())})"
        if files:
            options = f"union_by_name = {str(by_name).lower()}, hive_partitioning = false"
            stored = f"CREATE VIEW stored AS FROM read_parquet({listed}, {options})"
        for line in (
            f"SET memory_limit = '{_MEMORY}'",
            f"SET temp_directory = {_literal(scratch)}",
            f"SET max_temp_directory_size = '{_SCRATCH}'",
            f"SET allowed_directories = [{_literal(str(directory.resolve()))}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
            *(stored, _EVENTS, *_MACROS, _SCANS, _AWARDS),
        ):
            connection.execute(line)
        yield connection


class _Aside:
    """Does in a thread what may take long: here a signal is heard, and ends it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection, self._thread = connection, ThreadPoolExecutor(1)

    def do(self, work: Callable[[], T]) -> T:
        try:
            return self._thread.submit(work).result()
        except KeyboardInterrupt:
            self._connection.interrupt()
            raise

    def __enter__(self) -> "_Aside":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()


def _columns() -> Iterator[str]:
    """Those of an archive that has no file yet."""
    for name in (ENTRY_MS, ENTRY_SEQ):
        yield f"{name} UBIGINT"
    for name, is_number in FIELDS.items():
        yield f'"{name}" {"BIGINT" if is_number else "VARCHAR"}'
    for name in (MORE, NAMES):
        yield f"{name} VARCHAR"


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _rows(fetch: Callable[[], list[tuple[Any, ...]]]) -> Iterator[tuple[Any, ...]]:
    while rows := fetch():
        yield from rows
