"""Entries as Parquet files, and back, byte for byte (columns.py)."""

import re
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, cast

import orjson

from scanner.errors import missing
from scanner.ledger.client import Entry
from scanner.queue.archive.columns import ENTRY_MS, ENTRY_SEQ, FIELDS, MORE, NAMES, OWN

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise missing("pyarrow", "the archive", "archive") from None

_DIRECTORY = "events"
_CAMPAIGN = re.compile(rb"[a-z0-9-]{1,32}")
_DAY_MS = 86_400_000
_LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000 // _DAY_MS
# What a column of numbers gives back as it was: int64 has room for 18 digits.
_DECIMAL = "^(0|[1-9][0-9]{0,17})$"
_READ_ROWS = 4096
_NOT_TEXT = "base64"

_SCHEMA = pa.schema(
    [(ENTRY_MS, pa.uint64()), (ENTRY_SEQ, pa.uint64())]
    + [(name, pa.int64() if number else pa.string()) for name, number in FIELDS.items()]
    + [(MORE, pa.string()), (NAMES, pa.string())]
)

Names = tuple[bytes, ...]
Row = tuple[int, int, Entry]


class Shard(NamedTuple):
    """What a file holds: a segment's entries of one campaign (``_`` where it is none of ours) and one UTC day
    of their ids (``_`` after the year 9999)."""

    campaign: str
    day: str

    def path(self, segment: int) -> str:
        return f"{_DIRECTORY}/campaign={self.campaign}/day={self.day}/{segment:08}.parquet"


class Shards:
    """A segment's entries, sorted into its files; in memory they take what their names and values take."""

    def __init__(self) -> None:
        self._tables: dict[Shard, list[pa.Table]] = defaultdict(list)

    def add(self, entries: Sequence[Entry]) -> None:
        alike: dict[tuple[Shard, Names], list[Entry]] = defaultdict(list)
        for entry in entries:
            id, fields = entry
            shard = _shard(fields.get(b"campaign", b""), int(id.partition(b"-")[0]) // _DAY_MS)
            alike[shard, tuple(fields)].append(entry)
        for (shard, names), some in alike.items():
            self._tables[shard].append(_table(names, some))

    def files(self) -> Iterator[tuple[Shard, int, memoryview]]:
        """Each file: how many entries, and its bytes, which are the same for the same entries."""
        for shard in sorted(self._tables):
            whole = pa.concat_tables(self._tables.pop(shard), promote_options="default")
            missing = [field for field in _SCHEMA if field.name not in whole.column_names]
            for field in missing:
                whole = whole.append_column(field, pa.nulls(len(whole), field.type))
            whole = whole.select(_SCHEMA.names).sort_by([(ENTRY_MS, "ascending"), (ENTRY_SEQ, "ascending")])
            sink = pa.BufferOutputStream()
            pq.write_table(whole.combine_chunks(), sink, compression="zstd", compression_level=6)
            yield shard, len(whole), memoryview(sink.getvalue())


def read_file(data: bytes) -> Iterator[Row]:
    """A file's entries, in order, with their ids as numbers. Raises ValueError where it is none of ours."""
    try:
        table = pq.read_table(pa.BufferReader(data))
        for at in range(0, len(table), _READ_ROWS):
            yield from _rows(table.slice(at, _READ_ROWS))
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None


@lru_cache(maxsize=4096)
def _shard(campaign: bytes, day: int) -> Shard:
    is_ours = _CAMPAIGN.fullmatch(campaign)
    date = f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}" if day <= _LAST_DAY else "_"
    return Shard(campaign.decode() if is_ours else "_", date)


def _table(names: Names, entries: Sequence[Entry]) -> pa.Table:
    """Entries that all have the same names in the same order."""
    columns = dict(_ids(entries))
    texts = _texts(names, entries)
    if texts is None:
        if len(entries) == 1:
            return pa.table({**columns, MORE: pa.array([_raw(entries[0])], pa.string())})
        return pa.concat_tables([_table(names, [entry]) for entry in entries], promote_options="default")
    more: dict[str, pa.Array] = {}
    for name, values in texts.items():
        if name not in FIELDS:
            more[name] = values
        elif FIELDS[name]:
            fits = pc.match_substring_regex(values, _DECIMAL)
            columns[name] = pc.if_else(fits, values, None).cast(pa.int64())
            if not pc.all(fits).as_py():
                more[name] = pc.if_else(fits, None, values)
        else:
            columns[name] = values
    if more:
        rows = zip(*(values.to_pylist() for values in more.values()), strict=True)
        columns[MORE] = pa.array([_more(tuple(more), row) for row in rows], pa.string())
    columns[NAMES] = pa.array([orjson.dumps(list(texts)).decode()] * len(entries), pa.string())
    return pa.table(columns)


def _ids(entries: Sequence[Entry]) -> Iterator[tuple[str, pa.Array]]:
    ids = [id.split(b"-") for id, _ in entries]
    for place, name in enumerate((ENTRY_MS, ENTRY_SEQ)):
        yield name, pa.array([int(id[place]) for id in ids], pa.uint64())


def _texts(names: Names, entries: Sequence[Entry]) -> dict[str, pa.Array] | None:
    """The entries' values by name; None where a name or a value is not UTF-8."""
    columns = zip(*(fields.values() for _, fields in entries), strict=True)
    try:
        return {
            name.decode(): pa.array(column, pa.binary()).cast(pa.string())
            for name, column in zip(names, columns, strict=True)
        }
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None


def _more(names: Sequence[str], row: Iterable[str | None]) -> str | None:
    held = {name: value for name, value in zip(names, row, strict=True) if value is not None}
    return orjson.dumps(held).decode() if held else None


def _raw(entry: Entry) -> str:
    pairs = [[b64encode(part).decode() for part in pair] for pair in entry[1].items()]
    return orjson.dumps({_NOT_TEXT: pairs}).decode()


def _rows(table: pa.Table) -> Iterator[Row]:
    fields = [name for name in table.column_names if name not in OWN]
    held = {name: _bytes(table[name]) for name in fields if table[name].null_count < len(table)}
    ms, seq = table[ENTRY_MS].to_pylist(), table[ENTRY_SEQ].to_pylist()
    more = _bytes(table[MORE])
    for at, names in enumerate(_bytes(table[NAMES])):
        if names is None:
            entry = _from_raw(more[at])
        else:
            found = {name: held[text][at] if text in held else None for name, text in _names(names)}
            if None in found.values():
                rest = orjson.loads(more[at] or b"{}")
                found |= {name: rest[text].encode() for name, text in _names(names) if found[name] is None}
            entry = cast(dict[bytes, bytes], found)
        yield ms[at], seq[at], (b"%d-%d" % (ms[at], seq[at]), entry)


def _bytes(column: pa.ChunkedArray) -> list[bytes | None]:
    text = column.cast(pa.string()) if pa.types.is_integer(column.type) else column
    values: list[bytes | None] = text.cast(pa.binary()).to_pylist()
    return values


@lru_cache(maxsize=1024)
def _names(text: bytes) -> tuple[tuple[bytes, str], ...]:
    return tuple((name.encode(), name) for name in orjson.loads(text))


def _from_raw(more: bytes | None) -> dict[bytes, bytes]:
    if more is None:
        raise ValueError("a row has neither names nor the entry as it was")
    pairs = orjson.loads(more)[_NOT_TEXT]
    return {b64decode(name): b64decode(value) for name, value in pairs}
