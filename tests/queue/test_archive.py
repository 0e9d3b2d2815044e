"""What was archived comes back byte for byte; what was changed, lost or put elsewhere is found and named."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import StoreRefusedError
from scanner.queue.archive import ArchiveError, Position, disk, manifest, position, read_archive
from scanner.queue.archive.columns import FIELDS
from scanner.queue.archive.manifest import NAME, head_line, read_head, segments
from scanner.queue.archive.verifying import verify_archive
from scanner.queue.archive.writing import Draft, open_archive
from scanner.queue.events import MODELS
from tests.brand import Brand
from tests.queue.archives import (
    BRAND,
    DAY_MS,
    NOON_MS,
    ODD,
    Interposed,
    Killed,
    entry,
    exact,
    interposed,
    read,
    scans,
    stream_of,
    write,
)
from tests.queue.story import play


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three segments, two campaigns, two days."""
    directory = tmp_path / "archive"
    first = scans(20)
    second = [*scans(10, ms=NOON_MS + 100), *scans(10, ms=NOON_MS + 200, campaign="winter")]
    write(directory, first, second, scans(10, ms=NOON_MS + DAY_MS))
    return directory


def lines(directory: Path) -> list[bytes]:
    return (directory / NAME).read_bytes().splitlines(keepends=True)


def files(directory: Path) -> list[Path]:
    return sorted((directory / "events").rglob("*.parquet"))


async def test_a_story_with_every_type_of_entry_comes_back(brand: Brand, tmp_path: Path) -> None:
    await play(brand)
    told = await stream_of(brand.store)
    assert {fields[b"type"].decode() for _, fields in told} == MODELS.keys()
    write(tmp_path / "archive", told[:40], told[40:41], told[41:])
    assert read(tmp_path / "archive") == exact(told)


def test_what_none_of_our_functions_writes_comes_back(tmp_path: Path) -> None:
    told = [(b"%d-0" % (NOON_MS + n), fields) for n, fields in enumerate(ODD)]
    told += [
        (b"253402300799999-0", ODD[0]),
        (b"253402300800000-7", ODD[1]),
        (b"18446744073709551615-18446744073709551615", ODD[5]),
    ]
    write(tmp_path / "archive", told)
    assert read(tmp_path / "archive") == exact(told)
    assert verify_archive(tmp_path / "archive").entries == len(told)


NAMES = st.one_of(
    st.sampled_from([name.encode() for name in FIELDS]),
    st.binary(max_size=5),
    st.text(max_size=3).map(str.encode),
)
VALUES = st.one_of(
    st.integers(0, 1 << 65).map(lambda n: str(n).encode()),
    st.text(max_size=8).map(str.encode),
    st.binary(max_size=8),
    st.sampled_from([b"spring", b"winter", b"0", b"00", b"+1", b"[]", b"null"]),
)
IDS = st.lists(
    st.tuples(
        st.one_of(st.integers(NOON_MS, NOON_MS + 3 * DAY_MS), st.integers(0, (1 << 64) - 1)),
        st.integers(0, (1 << 64) - 1),
    ),
    min_size=1,
    max_size=30,
    unique=True,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, st.data())
def test_any_entries_come_back_over_segments_campaigns_and_days(
    tmp_path_factory: pytest.TempPathFactory, ids: list[tuple[int, int]], data: st.DataObject
) -> None:
    told = [
        (b"%d-%d" % id, data.draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)))
        for id in sorted(ids)
        if id != (0, 0)
    ]
    if not told:
        return
    cut = data.draw(st.integers(0, len(told)))
    directory = tmp_path_factory.mktemp("archive")
    write(directory, *(part for part in (told[:cut], told[cut:]) if part))
    assert read(directory) == exact(told)
    after = data.draw(st.sampled_from(told))[0]
    assert read(directory, after=after.decode()) == exact(told[[id for id, _ in told].index(after) + 1 :])
    verify_archive(directory)


def test_the_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    told = [*scans(50), *((b"%d-9" % (NOON_MS + 100 + n), fields) for n, fields in enumerate(ODD))]
    for name in ("one", "two"):
        write(tmp_path / name, told)
    one, two = ([path.read_bytes() for path in files(tmp_path / name)] for name in ("one", "two"))
    assert one == two


def test_files_are_by_campaign_and_day_and_private(archive: Path) -> None:
    found = [str(path.relative_to(archive)) for path in files(archive)]
    assert found == [
        "events/campaign=spring/day=2026-11-22/00000001.parquet",
        "events/campaign=spring/day=2026-11-22/00000002.parquet",
        "events/campaign=spring/day=2026-11-23/00000003.parquet",
        "events/campaign=winter/day=2026-11-22/00000002.parquet",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*files(archive), archive / NAME]} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (archive, archive / "events")} == {0o700}


def test_a_campaign_that_is_none_leads_nowhere_else(tmp_path: Path) -> None:
    write(
        tmp_path / "archive",
        [entry(n, type="x", campaign=name) for n, name in enumerate(("../x", "a/b", "A", ""))],
    )
    [path] = files(tmp_path / "archive")
    assert path.parent.parent.name == "campaign=_"


def test_every_field_of_the_models_has_a_column(archive: Path) -> None:
    fields = {
        field.alias or name
        for model in MODELS.values()
        for name, field in model.model_fields.items()
        if not field.exclude
    }
    assert fields == FIELDS.keys()
    schema = pq.read_schema(files(archive)[0])
    assert schema.names == ["entry_ms", "entry_seq", *FIELDS, "more", "names"]
    numbers = {
        "at",
        "lot",
        "serial",
        "kid",
        "expires",
        "amount",
        "slot",
        "no",
        "n",
        "size",
        "pin",
        "from",
        "to",
    }
    assert {name for name, is_number in FIELDS.items() if is_number} == numbers
    assert {name for name in schema.names if str(schema.field(name).type) == "int64"} == numbers


TORN = [b'{"no":4,"first":"179', b"\0" * 300, b"\0" * 300 + b'"}\n']


def test_the_position_is_that_of_the_last_line(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert position(tmp_path / "none") is None
    write(tmp_path / "empty")
    assert position(tmp_path / "empty") is None
    last = list(segments(archive))[-1]
    found = position(archive)
    assert found == Position(last.last, 50, last.digest, 3)
    assert found.mark.entry == found.entry == "1795435200009-0"
    assert found.at_ms == 1_795_435_200_009
    # A line that is longer than what is read first: each entry a campaign of its own.
    monkeypatch.setattr(manifest, "_TAIL_BYTES", 100)
    write(archive, [entry(n, ms=NOON_MS + 2 * DAY_MS, campaign=f"c{n}") for n in range(20)])
    assert len(lines(archive)[-1]) > 16 * 100
    assert position(archive).segments == 4
    # Nor is one that was not written to its end.
    whole = (archive / NAME).read_bytes()
    for tail in TORN:
        (archive / NAME).write_bytes(whole + tail)
        assert position(archive).segments == 4


def test_the_manifest_is_as_the_document_says(archive: Path) -> None:
    head, first, second, _ = map(orjson.loads, lines(archive))
    assert head | {"id": "", "made": "", "hash": ""} == {
        "scanner": "archive", "format": 1, "brand": "main", "partition": 0, "id": "", "made": "", "hash": "",
    }  # fmt: skip
    assert list(first) == [
        *("no", "first", "last", "entries", "added", "digest", "content"),
        *("columns", "files", "previous", "hash"),
    ]
    assert (first["previous"], second["previous"]) == (head["hash"], first["hash"])
    for line, fields in zip(lines(archive), (head, first, second), strict=False):
        assert fields["hash"] == blake3(line[: line.rindex(b',"hash":"')]).hexdigest()
    assert (first["entries"], second["entries"], second["added"]) == (20, 20, 40)
    for file in second["files"]:
        data = (archive / file["path"]).read_bytes()
        assert (file["rows"], file["bytes"], file["blake3"]) == (10, len(data), blake3(data).hexdigest())


Damage = Callable[[Path], None]


def change_a_byte(directory: Path) -> None:
    path = files(directory)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap_two_files(directory: Path) -> None:
    one, two = files(directory)[1], files(directory)[3]
    one_data, two_data = one.read_bytes(), two.read_bytes()
    one.write_bytes(two_data)
    two.write_bytes(one_data)


def without(*places: int) -> Damage:
    def remove(directory: Path) -> None:
        kept = [line for place, line in enumerate(lines(directory)) if place not in places]
        (directory / NAME).write_bytes(b"".join(kept))

    return remove


def swap_two_lines(directory: Path) -> None:
    head, one, two, three = lines(directory)
    (directory / NAME).write_bytes(head + two + one + three)


def change_a_number(directory: Path) -> None:
    (directory / NAME).write_bytes(b"".join(lines(directory)).replace(b'"entries":10', b'"entries":11'))


def forge_a_line(directory: Path) -> None:
    """With a hash that fits, as somebody could make it: the chain after it does not."""
    head, one, *rest = lines(directory)
    body = one[: one.rindex(b',"hash":"')].replace(b'"added":20', b'"added":21')
    forged = body + b',"hash":"' + blake3(body).hexdigest().encode() + b'"}\n'
    (directory / NAME).write_bytes(b"".join([head, forged, *rest]))


def take_anothers_head(directory: Path) -> None:
    head = read_head(directory)
    (directory / NAME).write_bytes(head_line(head._replace(id="0" * 16)) + b"".join(lines(directory)[1:]))


def cut_a_file(directory: Path) -> None:
    path = files(directory)[0]
    path.write_bytes(path.read_bytes()[:-1])


def put_a_zero(directory: Path) -> None:
    head, one, two, three = lines(directory)
    (directory / NAME).write_bytes(head + one[:50] + b"\0" + one[51:] + two + three)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a changed byte": (change_a_byte, "spring/day=2026-11-22/00000002.parquet was changed, or is damaged"),
    "a missing file": (
        lambda directory: files(directory)[3].unlink(),
        "winter/.*/00000002.parquet is missing",
    ),
    "a shorter file": (cut_a_file, "00000001.parquet was changed"),
    "two files swapped": (swap_two_files, "00000002.parquet was changed"),
    "a line missing": (without(2), "line 3 does not follow the one before: a line is missing"),
    "the first lines missing": (without(0, 1), "its first line was changed"),
    "two lines swapped": (swap_two_lines, "line 2 does not follow"),
    "a changed line": (change_a_number, "line 4 was changed"),
    "a zero in a line": (put_a_zero, "line 2 was changed"),
    "a forged line": (forge_a_line, "line 3 does not follow"),
    "another head": (take_anothers_head, "line 2 does not follow"),
    "the last lines missing": (without(2, 3), "00000003.parquet is in no line of the manifest"),
    "no manifest": (lambda directory: (directory / NAME).unlink(), "there is no manifest.jsonl in it"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_is_found_and_named(archive: Path, damage: str) -> None:
    verify_archive(archive, brand=BRAND)
    change, text = DAMAGES[damage]
    change(archive)
    with pytest.raises(ArchiveError, match=text) as raised:
        verify_archive(archive, brand=BRAND)
    assert "\n" not in str(raised.value)
    if damage != "the last lines missing":  # by itself that is a shorter archive; the stream knows of more
        with pytest.raises(ArchiveError):
            read(archive)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if "file" in name or "line" in name])
def test_what_was_changed_is_not_written_on(archive: Path, damage: str) -> None:
    """A quick look: sizes and the chain. A byte that was changed in place is for `queue verify`."""
    if damage in ("two files swapped", "the last lines missing"):
        pytest.skip("not by a quick look")
    DAMAGES[damage][0](archive)
    with pytest.raises(ArchiveError):
        open_archive(archive, BRAND)


def test_files_that_say_something_else_are_found_although_all_hashes_fit(archive: Path) -> None:
    """The digest of the content is over entries as they were in the stream."""
    segment = next(segments(archive))
    other = scans(20)
    other[7][1][b"member"] = b"somebody else"
    write(archive.parent / "other", other)
    [path] = files(archive.parent / "other")
    data = path.read_bytes()
    [file] = segment.files
    (archive / file.path).write_bytes(data)
    head, first, *_ = lines(archive)
    body = first[: first.rindex(b',"hash":"')]
    body = body.replace(file.blake3.encode(), blake3(data).hexdigest().encode())
    body = body.replace(b'"bytes":%d' % file.bytes, b'"bytes":%d' % len(data))
    hash = blake3(body).hexdigest().encode()
    (archive / NAME).write_bytes(head + body + b',"hash":"' + hash + b'"}\n')
    assert len(read(archive)) == 20
    with pytest.raises(
        ArchiveError, match=r"segment 1 of .* does not hold the entries that were archived in it"
    ):
        verify_archive(archive)


def test_another_brands_archive_is_refused(archive: Path) -> None:
    for look in (
        lambda: open_archive(archive, "other"),
        lambda: list(read_archive(archive, brand="other")),
        lambda: verify_archive(archive, brand="other"),
        lambda: list(read_archive(archive, brand=BRAND, partition=1)),
    ):
        with pytest.raises(ArchiveError, match="is the archive of brand main, partition 0, not of brand"):
            look()


def test_one_process_writes_it(archive: Path) -> None:
    first = open_archive(archive, BRAND)
    with pytest.raises(StoreRefusedError, match="another keeper writes the archive"):
        open_archive(archive, BRAND)
    first.close()
    open_archive(archive, BRAND).close()


@pytest.mark.parametrize("tail", TORN)
def test_a_line_that_was_not_written_to_its_end_is_none(archive: Path, tail: bytes) -> None:
    told, whole = read(archive), (archive / NAME).read_bytes()
    (archive / NAME).write_bytes(whole + tail)
    assert read(archive) == told
    opened = open_archive(archive, BRAND)
    assert (archive / NAME).read_bytes() == whole + tail  # nothing is removed before the store has agreed
    opened.settle()
    opened.close()
    assert (archive / NAME).read_bytes() == whole


def test_directories_that_a_killed_keeper_has_made_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is in them: nobody knows what the one before had come to."""
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync_directory", synced.append)
    made = tmp_path / "one" / "two"
    made.mkdir(parents=True)
    open_archive(made, BRAND).close()
    assert {tmp_path, tmp_path / "one"} <= set(synced)
    synced.clear()
    open_archive(made, BRAND).close()
    assert synced == []


def test_a_manifest_that_is_gone_is_not_begun_anew(archive: Path) -> None:
    (archive / NAME).unlink()
    with pytest.raises(
        ArchiveError, match=r"holds files of an archive, and no manifest\.jsonl: bring it back"
    ):
        open_archive(archive, BRAND)


def test_it_may_be_killed_at_every_step(tmp_path: Path) -> None:
    """Whatever was left, the next run comes to the same archive, to the byte."""
    told, more = (
        [*scans(30), *scans(30, ms=NOON_MS + DAY_MS, campaign="winter")],
        scans(5, ms=NOON_MS + 2 * DAY_MS),
    )
    with interposed(Interposed()) as steps:
        write(tmp_path / "whole", told, more)
    assert steps.calls > 30
    for dies_at in range(1, steps.calls + 1):
        directory = tmp_path / str(dies_at)
        with interposed(Interposed(dies_at)), pytest.raises(Killed):
            write(directory, told, more)
        if (directory / NAME).exists():
            assert read(directory) in ([], exact(told), exact([*told, *more])), f"after step {dies_at}"
        _go_on(directory, told, more)
        assert read(directory) == exact([*told, *more]), f"after step {dies_at}"
        assert not list(directory.rglob("*.part"))
        verify_archive(directory)
        assert [path.read_bytes() for path in files(directory)] == [
            path.read_bytes() for path in files(tmp_path / "whole")
        ]
        shutil.rmtree(directory)


def _go_on(directory: Path, *parts: list) -> None:
    """As the keeper does once the stream agrees."""
    archive = open_archive(directory, BRAND)
    archive.settle()
    done = archive.last.no if archive.last else 0
    archive.close()
    write(directory, *parts[done:])


@pytest.mark.parametrize("full_after", [0, 1000, 10_000, 15_000, 20_000])
def test_a_full_disk_leaves_what_was_there(archive: Path, full_after: int) -> None:
    told, whole = read(archive), (archive / NAME).read_bytes()
    more = [*scans(5, ms=NOON_MS + 2 * DAY_MS), *scans(5, ms=NOON_MS + 3 * DAY_MS, campaign="winter")]
    with interposed(Interposed(full_after=full_after)), pytest.raises(OSError, match="No space left"):
        write(archive, more)
    assert (read(archive), (archive / NAME).read_bytes()) == (told, whole)
    assert not list(archive.rglob("*.part"))
    write(archive, more)
    assert read(archive) == [*told, *exact(more)]


def test_a_line_whose_sync_failed_is_taken_back(archive: Path) -> None:
    """Its bytes could be read again, and still be lost with the power."""
    whole, opened = (archive / NAME).read_bytes(), open_archive(archive, BRAND)
    draft = Draft()
    draft.add(scans(5, ms=NOON_MS + 2 * DAY_MS))

    class Failing(Interposed):
        def __getattr__(self, name: str) -> object:
            is_the_lines = self.names[-1:] == ["write"] and self.names.count("write") == 2
            self.fails = "fsync" if is_the_lines else ""
            return super().__getattr__(name)

    with interposed(Failing()) as steps, pytest.raises(OSError, match="Input/output error"):
        opened.commit(draft, 55)
    assert steps.names[-4:] == ["write", "fsync", "ftruncate", "fsync"]
    assert (archive / NAME).read_bytes() == whole
    opened.close()


class Cached(Interposed):
    """A disk that fails until it is ``well``: what was written can be read, and ``durable`` is what a power
    cut would leave of the manifest. What a failed sync has not written, no later one writes."""

    def __init__(self, manifest: Path) -> None:
        super().__init__()
        self.well, self._file = False, manifest.stat().st_ino
        self.durable, self._cached = bytearray(manifest.read_bytes()), list[tuple[int, bytes]]()

    def __getattr__(self, name: str) -> Any:
        real, mine = super().__getattr__(name), {"write": self._written, "fsync": self._synced}.get(name)

        def called(descriptor: int, *args: Any) -> Any:
            if os.fstat(descriptor).st_ino == self._file:
                if mine is not None:
                    mine(descriptor, *args)
                elif not self.well:
                    raise OSError(errno.EROFS, "Read-only file system")
            return real(descriptor, *args)

        return called if name in ("write", "fsync", "ftruncate") else real

    def _written(self, descriptor: int, data: Any) -> None:
        is_appended = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        at = os.lseek(descriptor, 0, os.SEEK_END if is_appended else os.SEEK_CUR)
        self._cached.append((at, bytes(data)))

    def _synced(self, descriptor: int) -> None:
        for at, data in self._cached if self.well else ():
            self.durable[at : at + len(data)] = data
        self._cached.clear()
        if not self.well:
            raise OSError(errno.EIO, "Input/output error")


def test_a_line_whose_sync_failed_and_that_stayed_is_written_again(archive: Path) -> None:
    """The disk was gone for a while, also for taking it back: the line reads as if it was archived."""
    opened, draft = open_archive(archive, BRAND), Draft()
    draft.add(scans(5, ms=NOON_MS + 2 * DAY_MS))
    with interposed(Cached(archive / NAME)) as steps:
        with pytest.raises(OSError, match="Input/output error"):
            opened.commit(draft, 55)
        opened.close()
        steps.well = True
        opened = open_archive(archive, BRAND)
        assert opened.last.added == 55
        opened.settle()
        opened.close()
    assert bytes(steps.durable) == (archive / NAME).read_bytes()
    verify_archive(archive)


def test_another_manifest_that_takes_its_place_is_not_written_on(archive: Path, tmp_path: Path) -> None:
    """As where somebody moves the archive to another disk under a keeper that runs."""
    opened = open_archive(archive, BRAND)
    opened.settle()
    copy = shutil.copytree(archive, tmp_path / "copy")
    write_more = Draft()
    write_more.add(scans(5, ms=NOON_MS + 2 * DAY_MS))
    opened.commit(write_more, 55)
    archive.rename(tmp_path / "old")
    copy.rename(archive)
    whole = (archive / NAME).read_bytes()
    for doing in (opened.check, lambda: opened.commit(write_more, 60), opened.settle):
        with pytest.raises(ArchiveError, match="is not the file any more that was opened"):
            doing()
    assert (archive / NAME).read_bytes() == whole
    opened.close()
    opened = open_archive(archive, BRAND)
    with (archive / NAME).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArchiveError, match="was changed by somebody else"):
        opened.check()
    opened.close()
