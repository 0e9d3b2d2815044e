"""The key files while the service runs: a change of one is in force within a second, without a restart.

A file that cannot be used changes nothing: the keys of before stay in force until it is mended.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys
from scanner.service.metrics import Cells
from scanner.settings import Settings, read_key_file

log = logging.getLogger("scanner")

T = TypeVar("T")

# Within one second of a revocation every worker shall refuse the key.
LOOK_EVERY_S = 0.25


class _KeyFile(Generic[T]):
    """One file: ``keys`` are those that it held when it could last be used, ``fault`` what is wrong since."""

    def __init__(self, path: Path, parse: Callable[[bytes], T]) -> None:
        self._path = path
        self._parse = parse
        # Taken before the file is read: what changes in between is seen at the next look.
        self._seen = _state_of(path)
        self._is_fresh = True
        self.fault = ""
        self.keys = parse(read_key_file(path))

    def look(self) -> bool:
        """Whether the file has other keys now than ``keys`` were. It is read only if there is a reason."""
        state = _state_of(self._path)
        is_changed = state != self._seen
        if not (is_changed or self._is_fresh or self.fault):
            return False
        # Once more at the next look: the system's times have a grain, in which a file may change twice.
        self._seen, self._is_fresh = state, is_changed
        try:
            keys = self._parse(read_key_file(self._path))
        except ConfigurationError as error:
            if is_changed or str(error) != self.fault:
                log.error("%s cannot be used, so the keys of before stay in force: %s", self._path, error)
            self.fault = str(error)
            return False
        is_other = keys != self.keys
        if is_other or self.fault:
            log.info("the keys in %s are in force", self._path)
        self.fault = ""
        if is_other:
            self.keys = keys
        return is_other


class KeyFiles:
    """Both key files of a brand.

    Raises:
        ConfigurationError: one of them cannot be used; only at the start, when there are no keys of before.
    """

    def __init__(self, settings: Settings) -> None:
        self._codes = _KeyFile(settings.keys_path, Keyring.parse)
        self._tokens = _KeyFile(settings.token_keys_path, TokenKeys.parse)

    @property
    def keyring(self) -> Keyring:
        return self._codes.keys

    @property
    def token_keys(self) -> TokenKeys:
        return self._tokens.keys

    @property
    def are_stale(self) -> bool:
        """Whether a file cannot be used as it is now."""
        return bool(self._codes.fault or self._tokens.fault)

    def look(self) -> bool:
        """Whether there are other keys now, in either file."""
        changes = [file.look() for file in (self._codes, self._tokens)]
        return any(changes)


async def follow(files: KeyFiles, use: Callable[[Keyring, TokenKeys], None], cells: Cells) -> None:
    """Hands over the keys whenever there are others, and says in the cells whether a file is of no use."""
    is_due, said = False, ""
    cells.set("keys_stale", 0)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            is_due = files.look() or is_due
            if is_due:
                use(files.keyring, files.token_keys)
                is_due = False
            said = ""
        except Exception as error:  # whatever it is: an eye that is shut would keep what was revoked
            if str(error) != said:
                log.exception("the key files cannot be followed")
            said = str(error)
        cells.set("keys_stale", int(is_due or files.are_stale or bool(said)))


def _state_of(path: Path) -> tuple[int, ...] | None:
    """What is another after each change, also of who may read it; None where it cannot be told."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size
