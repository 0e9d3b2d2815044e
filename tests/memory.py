"""Where tests keep files that need no disk: a directory in memory, as Linux has it."""

import os
import shutil
from pathlib import Path

MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30


def is_roomy() -> bool:
    """Whether it is there, large enough for a whole run, and programs may be started from it."""
    return (
        MEMORY.is_dir()
        and os.access(MEMORY, os.W_OK)
        and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
        and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    )
