"""The archive: the stream's entries in Parquet files, with a manifest that chains their hashes.

Nothing here needs the optional dependencies before a file is read or written.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from scanner.ledger.client import Entry
from scanner.queue.archive.manifest import START, ArchiveError, Position, position
from scanner.settings import Settings

__all__ = ["START", "ArchiveError", "Position", "archive_of", "position", "read_archive"]


def read_archive(
    directory: Path, *, brand: str = "", partition: int = 0, after: str = START
) -> Iterator[Entry]:
    """The archive's entries after an id, in the stream's order and as redis-py gives them (reading.py).

    Raises:
        ArchiveError: something of it is missing or was changed; or it is another brand's, where one is named.
        ConfigurationError: pyarrow is not installed.
    """
    from scanner.queue.archive.reading import entries

    return entries(directory, brand=brand, partition=partition, after=after)


def archive_of(settings: Settings) -> Callable[[str], Iterator[Entry]] | None:
    """Gives the entries after an id of the brand's archive; None where there is none, or nothing in it."""
    directory = settings.archive_path
    if position(directory) is None:
        return None
    return lambda after: read_archive(directory, brand=settings.brand, after=after)
