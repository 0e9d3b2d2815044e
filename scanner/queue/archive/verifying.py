"""Verifying: the whole archive is read, and held against what its manifest says was in the stream."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scanner.queue.archive.manifest import ArchiveError, read_head, segments
from scanner.queue.archive.reading import check_segment

Progress = Callable[[int, int], None]
"""Is told how many entries were read, and how many there are at least."""


class Verified(NamedTuple):
    """What was read. ``missing`` entries were given to the stream and are not in the archive: they were gone
    before, and that was accepted; or somebody took a segment out, and made the chain anew."""

    entries: int
    segments: int
    files: int
    missing: int


def verify_archive(
    directory: Path,
    *,
    brand: str = "",
    partition: int = 0,
    progress: Progress = lambda done, total: None,
) -> Verified:
    """Checks the chain, every file's hash, and what comes out of it.

    Raises:
        ArchiveError: the first difference.
    """
    read_head(directory, brand=brand, partition=partition)
    listed = list(segments(directory, brand=brand, partition=partition))
    total, entries, added, missing = sum(segment.entries for segment in listed), 0, 0, 0
    for segment in listed:
        check_segment(directory, segment)
        entries += segment.entries
        # A stream that was rebuilt without what is missing counts anew, from less.
        missing += max(0, segment.added - added - segment.entries)
        added = segment.added
        progress(entries, total)
    _check_end(directory, len(listed))
    return Verified(entries, len(listed), sum(len(segment.files) for segment in listed), missing)


def _check_end(directory: Path, last: int) -> None:
    """A keeper that was killed leaves files of the next segment at most, and one that runs may have committed
    it meanwhile: files of later ones stood in lines that are gone."""
    known = max(last, sum(1 for _ in segments(directory)))
    for path in sorted((directory / "events").glob("campaign=*/day=*/*.parquet")):
        if path.name > f"{known + 1:08}.parquet":
            raise ArchiveError(f"{path} is in no line of the manifest: lines at its end are missing")
