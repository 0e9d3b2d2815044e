"""Questions to the archive: the document's examples, what odd entries do to them, what is out of reach."""

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any

import psutil
import pytest

from scanner.queue.archive import ArchiveError
from scanner.queue.archive.columns import FIELDS
from scanner.queue.archive.query import QueryError, asked
from tests.brand import PRODUCT, Brand
from tests.queue.archives import DAY_MS, NOON_MS, ODD, entry, scans, stream_of, write
from tests.queue.story import play
from tests.running import eventually

DOCUMENT = (Path(__file__).parents[2] / "docs" / "archive.md").read_text("utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


def ask(directory: Path, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    with asked(directory, sql, **options) as answer:
        return list(answer.rows)


AWARDS = (
    '[{"pool":"points","prize":"p50","kind":"points","amount":50,"beneficiary":"member"},'
    '{"pool":"shop","prize":"s","kind":"cash","amount":120,"currency":"CNY","beneficiary":"seller"}]'
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two days, five members; entries that nobody can read among them."""
    hour = 3_600_000
    told = [
        entry(
            n * hour,
            type="scan.accepted",
            at=str(NOON_MS + n * hour),
            campaign="spring",
            id=f"S{n}",
            member=f"m-{n * n % 5}",
            seller="shop-1",
            product=PRODUCT if n % 3 else "06900000000007",
            lot="1",
            serial=str(n),
            loc='{"lat":31.2,"lng":121.5}',
            awards=AWARDS,
        )
        for n in range(20)
    ]
    odd = [(b"%d-0" % (NOON_MS + DAY_MS + n), fields) for n, fields in enumerate(ODD)]
    broken = entry(
        2 * DAY_MS, type="scan.accepted", at="9" * 18, campaign="x", awards="{", loc="[", member="m-9"
    )
    write(tmp_path / "it's an archive", told, odd, [broken])
    return tmp_path / "it's an archive"


@pytest.mark.parametrize("sql", EXAMPLES)
def test_every_example_of_the_document_is_answered(archive: Path, sql: str) -> None:
    assert ask(archive, sql)


def test_the_examples_are_the_usual_questions(archive: Path) -> None:
    hours, pools, products, members = EXAMPLES
    per_hour = ask(archive, hours)
    assert [count for _, count in per_hour] == [1] * 20
    assert per_hour[0][0].isoformat() == "2026-11-22T20:00:00"  # in Shanghai
    assert ask(archive, pools) == [
        ("spring", "points", "p50", "points", 20, 1000),
        ("spring", "shop", "s", "cash", 20, 2400),
    ]
    first = {}
    for n in range(20):
        first.setdefault(n * n % 5, PRODUCT if n % 3 else "06900000000007")
    found = dict(ask(archive, products))
    assert {name: found[name] for name in first.values()} == Counter(first.values())
    of_member = Counter(n * n % 5 for n in range(20))
    of_member["x"] = 2  # entries that nobody can read are scans of somebody, too
    told = dict(ask(archive, members))
    assert (told[4], told[8]) == (1, 2)


def test_views_are_what_the_document_says(archive: Path) -> None:
    for view in ("events", "scans", "awards"):
        [row] = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{view}` |")]
        names = re.findall(r"`(\w+)`", row.replace("of `awards` and `giver_awards` of all entries", ""))[1:]
        columns = [name for name, *_ in ask(archive, f"DESCRIBE {view}")]
        if view == "events":
            names += ["entry_ms", "entry_seq", *FIELDS, "more", "names"]
        assert columns == names


def test_awards_name_the_winner(archive: Path) -> None:
    sql = "SELECT winner, kind, amount, currency FROM awards WHERE id = 'S3' ORDER BY kind"
    assert ask(archive, sql) == [("shop-1", "cash", 120, "CNY"), ("m-4", "points", 50, None)]


def test_what_cannot_be_read_is_empty_and_stops_nothing(archive: Path) -> None:
    sql = "SELECT count(*), count(time), count(lat) FROM scans WHERE campaign = 'x'"
    assert ask(archive, sql) == [(1, 0, 0)]
    assert ask(archive, "SELECT count(*) FROM awards WHERE campaign = 'x'") == [(0,)]
    assert ask(archive, "SELECT more ->> 'a new field' FROM events WHERE type = 'points.moved'") == [
        ("ü\n\0",)
    ]
    assert ask(archive, "SELECT count(*) FROM events") == [(20 + len(ODD) + 1,)]


def test_a_moment_has_its_time(archive: Path) -> None:
    [(entry, time)] = ask(archive, "SELECT entry, time FROM scans WHERE id = 'S1'")
    assert entry == f"{NOON_MS + 3_600_000}-0"
    assert time.replace(tzinfo=UTC).timestamp() * 1000 == NOON_MS + 3_600_000


async def test_a_story_adds_up(brand: Brand, tmp_path: Path) -> None:
    await play(brand)
    told = await stream_of(brand.store)
    write(tmp_path / "archive", told[:30], told[30:])
    types = Counter(fields[b"type"].decode() for _, fields in told)
    assert dict(ask(tmp_path / "archive", "SELECT type, count(*) FROM events GROUP BY type")) == types
    [(scans,)] = ask(tmp_path / "archive", "SELECT count(*) FROM scans")
    assert scans == types["scan.accepted"]
    report = await brand.audit()
    given = sum(
        row.pieces for one in report.campaigns.values() for row in one.given_rows() if row.kind != "none"
    )
    sql = "SELECT count(*) FROM awards WHERE type != 'grant.made'"
    assert ask(tmp_path / "archive", sql) == [(given,)]


def test_an_empty_archive_has_empty_views(tmp_path: Path) -> None:
    write(tmp_path / "archive")
    for view in ("events", "scans", "awards"):
        assert ask(tmp_path / "archive", f"SELECT * FROM {view}") == []
    with asked(tmp_path / "archive", "SELECT 1") as answer:
        assert answer.last == "0-0"


def test_segments_of_different_versions_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version has a column more; what the earlier one wrote is still there."""
    import pyarrow as pa

    from scanner.queue.archive import columns, files

    write(tmp_path / "archive", scans(3))
    fields = FIELDS | {"points": True}
    schema = files._SCHEMA.append(pa.field("points", pa.int64()))
    monkeypatch.setattr(files, "FIELDS", fields)
    monkeypatch.setattr(files, "_SCHEMA", schema)
    monkeypatch.setattr(columns, "DIGEST", "0" * 16)
    write(tmp_path / "archive", [entry(10, type="x", points="7")])
    assert ask(tmp_path / "archive", "SELECT count(*), sum(points) FROM events") == [(4, 7)]


OUT_OF_REACH = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('https://example.com/x.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
]
NO_QUESTIONS = [
    "",
    "COPY scans TO 'x.csv'",
    "SELECT 1; SELECT 2",
    "ATTACH 'x.db'",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "CREATE TABLE x AS SELECT 1",
    "EXPLAIN ANALYZE COPY scans TO 'x.csv'",
    "PRAGMA database_list",
]


@pytest.mark.parametrize("sql", OUT_OF_REACH)
def test_nothing_else_of_the_machine_is_in_reach(archive: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="the question was not answered: ") as raised:
        ask(archive, sql)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("sql", NO_QUESTIONS)
def test_what_is_no_question_is_refused(archive: Path, sql: str) -> None:
    with pytest.raises(QueryError, match=r"expected one SELECT|not answered"):
        ask(archive, sql)
    assert not Path("x.csv").exists()


@pytest.mark.parametrize("sql", ["SELECT", "SELECT x FROM scans", "SELECT error('no')", "SELECT now()"])
def test_a_wrong_question_is_one_line(archive: Path, sql: str) -> None:
    with pytest.raises(QueryError) as raised:
        ask(archive, sql)
    assert "\n" not in str(raised.value)


def test_another_brands_archive_is_not_asked(archive: Path) -> None:
    with pytest.raises(ArchiveError, match="is the archive of brand main"):
        ask(archive, "SELECT 1", brand="other")


# While it is computed, and while its rows are fetched.
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(100000000000) a, range(1000) b",
        "SELECT a FROM range(1000000000000000000) t(a) WHERE a < 0",
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_question_that_is_broken_off_ends_and_leaves_nothing(
    archive: Path, tmp_path: Path, sql: str, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner", "queue", "query", "--sql", sql),
        env={**os.environ, "TMPDIR": str(scratch), "SCANNER_ARCHIVE_DIR": str(archive)},
    )

    async def is_computing() -> bool:
        """The scratch directory is made before it begins."""
        began.append(psutil.Process(process.pid).cpu_times().user if any(scratch.iterdir()) else -1.0)
        first = next((seconds for seconds in began if seconds >= 0), began[-1])
        return first >= 0 and began[-1] - first > 0.5

    began: list[float] = []
    await eventually(is_computing)
    process.send_signal(number)
    assert await process.wait() == 130
    assert list(scratch.iterdir()) == []
