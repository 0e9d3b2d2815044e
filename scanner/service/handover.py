"""The hand-over of a running service to its successor on the same host (`scanner serve --replace`).

The running service listens on a Unix socket in its data directory, one for each public port, that only its
own user can use. A successor connects and is sent the listening sockets of both ports, with one line of JSON
that says what they are. It starts its workers on them and, when they serve, sends ``ready``; the old one lets
go of the Unix socket, says ``ok``, and stops. Whatever goes wrong before ``ready``, the old one goes on.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from scanner.errors import ConfigurationError
from scanner.ledger.embedded import socket_path
from scanner.settings import Settings, make_private_directory

log = logging.getLogger("scanner")

VERSION = 1
DESCRIPTORS_MAX = 250  # in one message; Linux takes 253
LINE_MAX_BYTES = 4096
ANSWER_TIMEOUT_S = 5.0
TAKEN_TIMEOUT_S = 60.0
READY, OK = b"ready\n", b"ok\n"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True)
class HandedOver:
    """What a service listens on, and for whom it serves. The sockets are descriptors."""

    brand: str
    host: str
    port: int
    ops_host: str
    ops_port: int
    public: list[int]
    operations: list[int]

    def to_line(self) -> bytes:
        # The descriptors' numbers mean nothing to another process; how many there are of each does.
        facts = {**asdict(self), "public": len(self.public), "operations": len(self.operations)}
        return json.dumps({"version": VERSION, **facts}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes, descriptors: list[int]) -> "HandedOver":
        facts = json.loads(line)
        if facts.pop("version") != VERSION:
            raise ConfigurationError(
                "the running service hands over otherwise than this version: stop it, then start this one"
            )
        count = facts["public"]
        if count < 1 or count + facts["operations"] != len(descriptors):
            raise ValueError("its sockets are not all there")
        return cls(**{**facts, "public": descriptors[:count], "operations": descriptors[count:]})


class Offer:
    """The running service's side: it waits for a successor."""

    def __init__(self, settings: Settings, describe: Callable[[], HandedOver]) -> None:
        self._path = path_of(settings)
        self._describe = describe
        self._listener = _listener(self._path)

    async def taken(self) -> None:
        """Returns when a successor serves."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("nobody can be handed over to (%s)", error)
                await asyncio.sleep(1)
                continue
            with connection:
                connection.setblocking(False)
                try:
                    if not _is_own_user(connection):
                        continue
                    _send(connection, self._describe())
                    async with asyncio.timeout(TAKEN_TIMEOUT_S):
                        answer = await loop.sock_recv(connection, len(READY))
                    if answer != READY:
                        log.warning("the successor did not get ready: this service goes on")
                        continue
                    self.close()
                    with contextlib.suppress(OSError):
                        await loop.sock_sendall(connection, OK)
                    return
                except OSError as error:
                    log.warning("the hand-over failed (%s): this service goes on", error)

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._path.unlink(missing_ok=True)
            self._listener.close()


def offer(settings: Settings, describe: Callable[[], HandedOver]) -> Offer | None:
    """Begins to offer; None, and a line in the log, where the data directory does not allow it."""
    try:
        return Offer(settings, describe)
    except (OSError, ConfigurationError) as error:
        log.warning("this service cannot be replaced while it runs (%s)", error)
        return None


class Predecessor:
    """The successor's side: the service that runs, and what it hands over. Its calls wait, in a thread."""

    def __init__(self, connection: socket.socket, handed: HandedOver) -> None:
        self._connection = connection
        self.handed = handed
        self.public = [socket.socket(fileno=one) for one in handed.public]
        self.operations = [socket.socket(fileno=one) for one in handed.operations]

    def dismiss(self) -> None:
        """Tells it that we serve; it begins to stop."""
        with contextlib.suppress(OSError):  # it is gone already
            self._connection.sendall(READY)
            self._connection.recv(len(OK))

    def close(self) -> None:
        self._connection.close()
        for one in (*self.public, *self.operations):
            one.close()


def predecessor(settings: Settings) -> Predecessor | None:
    """The service that runs on the same data directory and port; None where none does.

    Raises:
        ConfigurationError: it does not answer, or is not one that these settings could follow.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_TIMEOUT_S)
    try:
        try:
            connection.connect(str(path_of(settings)))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        if not _is_own_user(connection):
            raise ConfigurationError("the running service belongs to another user")
        handed = _receive(connection)
    except (OSError, ValueError, TypeError, LookupError) as error:
        connection.close()
        raise ConfigurationError(
            f"the running service does not hand over ({error}): "
            "it may be stopping, or being replaced; try again"
        ) from None
    except BaseException:
        connection.close()
        raise
    found = Predecessor(connection, handed)
    for name, wanted in (("brand", settings.brand), ("host", settings.host)):
        if getattr(handed, name) != wanted:
            found.close()
            raise ConfigurationError(
                f"the running service has SCANNER_{name.upper()} {getattr(handed, name)}, not {wanted}: "
                "it cannot be replaced by this one; stop it first"
            )
    return found


def path_of(settings: Settings) -> Path:
    """The Unix socket of the service on this port."""
    return socket_path(settings.data_dir.absolute(), f"service-{settings.port}.sock")


def _listener(path: Path) -> socket.socket:
    make_private_directory(path.parent)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_TIMEOUT_S)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            probe.connect(str(path))
            raise ConfigurationError(f"another service has {path}")
    path.unlink(missing_ok=True)  # a killed one's
    made = socket.socket(socket.AF_UNIX)
    try:
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen()
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _is_own_user(connection: socket.socket) -> bool:
    """Whether the other end is of our user. Where the system does not tell, the file's mode has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1]) == os.getuid()


def _send(connection: socket.socket, handed: HandedOver) -> None:
    descriptors = [*handed.public, *handed.operations]
    for at in range(0, len(descriptors), DESCRIPTORS_MAX):
        socket.send_fds(connection, [b" "], descriptors[at : at + DESCRIPTORS_MAX])
    connection.sendall(handed.to_line())


def _receive(connection: socket.socket) -> HandedOver:
    line, descriptors = b"", list[int]()
    try:
        while not line.endswith(b"\n"):
            data, more, _, _ = socket.recv_fds(connection, LINE_MAX_BYTES, DESCRIPTORS_MAX)
            descriptors += more
            if not data or len(line) > LINE_MAX_BYTES:
                raise ConnectionError("it ended the connection")
            line += data
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return HandedOver.from_line(line, descriptors)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
