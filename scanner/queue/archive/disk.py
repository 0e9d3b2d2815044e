"""Writing so that a crash leaves the old or the new, and what is said to be written is on the disk.

Every step of the archive that touches the disk is one of the calls below.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from scanner.settings import sync_directory

PART = ".part"
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Puts a file in its place in one step; its name is durable after `sync_directories`. Raises OSError."""
    part = path.with_name(path.name + PART)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, path)  # noqa: PTH105 (all steps are calls of `os`)
    except OSError:
        part.unlink(missing_ok=True)  # a full disk needs the room
        raise


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes all of it: one call may write less, and does on a disk that fills up."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def make_directories(root: Path, path: Path) -> list[Path]:
    """Makes the directories from ``root`` to a path below it, and says which are to be synced: all of them,
    because whoever made one may have been killed before they synced it."""
    levels = [root, *(level for level in reversed([path, *path.parents]) if root in level.parents)]
    for level in levels:
        if not level.exists():
            os.mkdir(level, DIRECTORY_MODE)  # noqa: PTH102
    return levels


def sync_directories(paths: Iterable[Path]) -> None:
    for path in sorted(set(paths)):
        sync_directory(path)
