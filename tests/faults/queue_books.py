"""Whether archive, stream, effects and notebook agree, once everything is at rest.

The archive and the stream are read as what they are meant to be: one ledger. An entry may stand in both until
the stream is trimmed, and is then the same in both; in the archive it stands once. The Parquet files are also
counted by themselves, without the archive's own reader.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import orjson
from pyarrow import parquet

from scanner.ledger.watermark import entry_id
from scanner.queue import ScanAccepted
from scanner.queue.archive import ArchiveError, read_archive
from scanner.queue.events import event_of
from tests.brand import Brand
from tests.faults.books import Entry, Findings, Piece, judge_answers, judge_books, read_books
from tests.faults.notebook import Errand, Outcome
from tests.faults.queue_effects import Effect, effect_of, read_effects
from tests.faults.queue_processes import command
from tests.faults.rig import Rig

Fields = dict[str, str]


@dataclass
class QueueFindings:
    """What may be wrong with the hand-over, each by its name."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged to a phone, or once in the stream, and neither in the archive nor in the stream."""
    double: list[str] = field(default_factory=list)
    """An event of one key twice, an entry twice in the archive, or otherwise there than in the stream."""
    effects_lost: list[str] = field(default_factory=list)
    effects_double: list[str] = field(default_factory=list)
    effects_wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Pending, unread or dead, where nothing should be."""
    archive: list[str] = field(default_factory=list)
    """The archive cannot be read, or `scanner queue verify` says no."""
    books: list[str] = field(default_factory=list)
    """The store's own books (:mod:`tests.faults.books`), and the audit."""

    @property
    def all(self) -> list[str]:
        return [f"{one.name}: {text}" for one in fields(self) for text in getattr(self, one.name)]

    def __str__(self) -> str:
        return ", ".join(f"{len(getattr(self, one.name))} {one.name}" for one in fields(self))


@dataclass
class Ledger:
    """The entries by id: in the archive (with how often), and in the stream."""

    archived: dict[str, Fields] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    stream: dict[str, Fields] = field(default_factory=dict)
    added: int = 0
    """How many entries the stream was ever given."""

    @property
    def trimmed(self) -> int:
        return self.added - len(self.stream)

    @property
    def all(self) -> dict[str, Fields]:
        return {**self.archived, **self.stream}

    def scans(self) -> list[ScanAccepted]:
        events = (event_of(entry, found) for entry, found in self.all.items())
        return [event for event in events if isinstance(event, ScanAccepted)]


async def read_ledger(brand: Brand, findings: QueueFindings) -> Ledger:
    ledger = Ledger()
    try:
        # Read whole before any of it counts, as whoever restores from it would.
        for entry, raw in await asyncio.to_thread(list, read_archive(brand.settings.archive_path)):
            ledger.archived[entry.decode()] = text_of(raw)
            ledger.times[entry.decode()] += 1
    except ArchiveError as error:
        findings.archive.append(f"it cannot be read: {error}")
    client, events = brand.store.client, brand.store.keys.events
    last = "0-0"
    while page := await client.xrange(events, f"({last}", "+", count=1000):
        last = page[-1][0].decode()
        for entry, raw in page:
            ledger.stream[entry.decode()] = text_of(raw)
    ledger.added = int((await client.xinfo_stream(events))["entries-added"])
    return ledger


def text_of(raw: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(): value.decode() for name, value in raw.items()}


def judge_ledger(ledger: Ledger, findings: QueueFindings) -> None:
    """Every entry that was ever added is there, in one form, and its key is no other's."""
    findings.double += [
        f"{entry} stands {n} times in the archive" for entry, n in ledger.times.items() if n > 1
    ]
    findings.double += [
        f"{entry} is another one in the archive than in the stream"
        for entry in ledger.archived.keys() & ledger.stream.keys()
        if ledger.archived[entry] != ledger.stream[entry]
    ]
    if len(ledger.all) != ledger.added:
        findings.lost.append(f"{ledger.added} entries were added, {len(ledger.all)} are there")
    keys = Counter(event_of(entry, found).key for entry, found in ledger.all.items())
    findings.double += [f"{n} entries have the key {key}" for key, n in keys.items() if n > 1]


def judge_files(directory: Path, ledger: Ledger, findings: QueueFindings) -> None:
    """The Parquet files as anybody reads them: all of them, whatever the manifest says."""
    counted: Counter[str] = Counter()
    for file in sorted(directory.glob("events/**/*.parquet")):
        table = parquet.ParquetFile(file).read(columns=["entry_ms", "entry_seq"])
        counted.update(f"{row['entry_ms']}-{row['entry_seq']}" for row in table.to_pylist())
    findings.double += [f"{entry} stands {n} times in the files" for entry, n in counted.items() if n > 1]
    findings.archive += [f"{entry} is in a file, and in no segment" for entry in counted - ledger.times]
    findings.archive += [f"{entry} is in no file" for entry in ledger.times.keys() - counted.keys()]


def judge_acknowledged(
    said: dict[Errand, list[Outcome]], scans: Iterable[ScanAccepted], findings: QueueFindings
) -> int:
    """Held against the notebook; how many scans were acknowledged."""
    there = {scan.id for scan in scans}
    told = {
        orjson.loads(outcome.body)["scan_id"]
        for outcomes in said.values()
        for outcome in outcomes
        if outcome.status == 200
    }
    findings.lost += [f"{id} was acknowledged, and is neither in archive nor stream" for id in told - there]
    return len(told)


def judge_effects(database: Path, scans: Iterable[ScanAccepted], findings: QueueFindings) -> int:
    """Each scan has one effect, the one that it says; the members' sums are those of the scans."""
    rows, sums = read_effects(database)
    due = {effect.key: effect for effect in map(effect_of, scans)}
    times = Counter(row.key for row in rows)
    findings.effects_lost += [f"{key} has no effect" for key in due.keys() - times.keys()]
    findings.effects_double += [f"{key} has {n} effects" for key, n in times.items() if n > 1]
    findings.effects_wrong += [f"{row} is not what was due" for row in rows if due.get(row.key) != row]
    members = summed(due.values())
    findings.effects_wrong += [
        f"{member} has {sums.get(member, 0)} points of {members.get(member, 0)}"
        for member in sorted(members.keys() | sums.keys())
        if sums.get(member, 0) != members.get(member, 0)
    ]
    return len(rows)


def summed(effects: Iterable[Effect]) -> dict[str, int]:
    members: defaultdict[str, int] = defaultdict(int)
    for effect in effects:
        members[effect.member] += effect.points
    return dict(members)


async def judge_group(brand: Brand, group: str, findings: QueueFindings) -> None:
    client, keys = brand.store.client, brand.store.keys
    [found] = [one for one in await client.xinfo_groups(keys.events) if one["name"] == group.encode()]
    last = (await client.xinfo_stream(keys.events))["last-generated-id"].decode()
    if found["pending"]:
        findings.left.append(f"{found['pending']} entries are pending")
    if entry_id(found["last-delivered-id"].decode()) < entry_id(last):
        findings.left.append(f"read up to {found['last-delivered-id'].decode()} of {last}")
    for name in (keys.dead(group), keys.again(group)):
        if n := await client.xlen(name):
            findings.left.append(f"{n} entries in {name}")


async def judge_queue(on: Rig, database: Path, group: str) -> tuple[QueueFindings, Ledger, int]:
    """Everything, with nobody at work any more; also what was read, and how many scans were acknowledged."""
    findings, brand = QueueFindings(), on.brand
    ledger = await read_ledger(brand, findings)
    judge_ledger(ledger, findings)
    judge_files(brand.settings.archive_path, ledger, findings)
    scans = ledger.scans()
    said = await on.notebook.read()
    acknowledged = judge_acknowledged(said, scans, findings)
    judge_effects(database, scans, findings)
    await judge_group(brand, group, findings)
    own = Findings()
    books = await read_books(brand)  # its entries are those that are left in the stream
    books.entries = by_piece(scans, ledger)
    judge_books(books, on.left_before, own)
    judge_answers(brand, said, books, own)
    findings.books += own.all
    environment = brand.settings.to_environment()
    for finds, arguments in (
        (findings.archive, ("queue", "verify")),
        (findings.books, ("audit", "--all")),
    ):
        code, text = await command(environment, *arguments)
        if code != 0:
            finds.append(f"scanner {' '.join(arguments)}: exit code {code}: {text[-2000:]}")
    return findings, ledger, acknowledged


def by_piece(scans: Iterable[ScanAccepted], ledger: Ledger) -> dict[Piece, list[Entry]]:
    entries: defaultdict[Piece, list[Entry]] = defaultdict(list)
    everything = ledger.all
    for scan in scans:
        awards = orjson.loads(everything[scan.entry]["awards"])
        entries[scan.lot, scan.serial].append(Entry(scan.id, scan.at, scan.member, awards))
    return dict(entries)
