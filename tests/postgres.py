"""A real PostgreSQL to test with: one private server a session, on a Unix socket, with a database a test.

The programs are those of Debian's package ``postgresql``, or those on the path. Where there are none the
tests that need them are skipped; in CI they fail.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

MISSING = "no PostgreSQL server here: `apt-get install postgresql`"
USER = "scanner"
START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 30
INITDB = "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "deadlock_timeout": "50ms",
    "fsync": "off",  # the server may crash here, the machine does not
    "autovacuum": "off",  # a test's database does not live so long
}


@dataclass(frozen=True)
class Database:
    """``url`` is SQLAlchemy's with asyncpg, ``dsn`` asyncpg's own and libpq's."""

    name: str
    directory: Path

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@/{self.name}?host={self.directory}"

    @property
    def url(self) -> str:
        return self.dsn.replace("postgresql", "postgresql+asyncpg", 1)


class Postgres:
    """A server whose socket and data are in ``directory``; ``owner`` is whom it runs as, if not as we do."""

    def __init__(self, directory: Path, bin: Path, owner: dict[str, str]) -> None:
        self.directory, self._bin, self._owner = directory, bin, owner
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        subprocess.run(
            [self._bin / "initdb", "--pgdata", self.directory / "data", "--username", USER, *INITDB],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            **self._owner,
        )

    def start(self) -> None:
        """Returns when it answers. It ends with the thread that this was called in."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.directory)}
        command = [self._bin / "postgres", "-D", self.directory / "data"]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        if shutil.which("setpriv"):  # a run that is killed leaves no server behind
            command = ["setpriv", "--pdeathsig", "QUIT", "--", *command]
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                start_new_session=True,
                **self._owner,
            )
        asked = [self._bin / "pg_isready", "-q", "-h", self.directory, "-U", USER, "-d", "postgres"]
        deadline = time.monotonic() + START_TIMEOUT_S
        while subprocess.run(asked, check=False).returncode:
            assert self._process.poll() is None, f"the server ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"the server does not start: {log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as in a crash: nothing is written out, connections break."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """It crashes, and is started again when the block ends."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    async def database(self) -> Database:
        """A new and empty one."""
        database = Database(f"test_{next(self._numbers)}", self.directory)
        connection = await asyncpg.connect(Database("postgres", self.directory).dsn)
        try:
            await connection.execute(f"CREATE DATABASE {database.name}")
        finally:
            await connection.close()
        return database


def programs() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: the newest version's."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    found = newest or shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def private_server() -> Iterator[Postgres]:
    """A server in a directory of its own, both gone when the block ends."""
    bin = programs()
    assert bin is not None, MISSING
    directory = Path(tempfile.mkdtemp(prefix="scanner-postgres-"))
    owner = {}
    if os.geteuid() == 0:  # as root it refuses to run; this user came with the package
        owner = {"user": "postgres", "group": "postgres"}
        entry = pwd.getpwnam("postgres")
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    server = Postgres(directory, bin, owner)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if programs() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with private_server() as server:
        yield server
