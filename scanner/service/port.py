"""The public port: one listening socket for each worker, and the kernel spreads new connections over them.

The supervisor holds them, so that what waits in the queue of one is not lost with the worker that served it.
"""

import socket
from collections.abc import Sequence

from scanner.errors import ConfigurationError

BACKLOG = 4096  # connections that wait in one queue; the kernel may allow fewer


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """So many sockets that listen on the port; 0 takes a free one.

    Raises:
        ConfigurationError: somebody else has it, or there is no such address.
    """
    made: list[socket.socket] = []
    try:
        probe, address = _socket(host, port)
        with probe:
            # Without SO_REUSEPORT: a second service must not share the port by accident.
            probe.bind(address)
        while len(made) < count:
            made.append(_shared(host, made[0].getsockname()[1] if made else port))
    except (OSError, UnicodeError) as error:
        for one in made:
            one.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"SCANNER_PORT {port} on {host} cannot be used: {reason}") from None
    return made


def listen_beside(sockets: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """Adds what is missing to so many sockets of a port. None is taken away: connections may wait in it."""
    host, port = sockets[0].getsockname()[:2]
    try:
        return [*sockets, *(_shared(host, port) for _ in range(count - len(sockets)))]
    except OSError as error:
        raise ConfigurationError(
            f"SCANNER_PORT {port} on {host} cannot be shared: {error.strerror}"
        ) from None


def _shared(host: str, port: int) -> socket.socket:
    made, address = _socket(host, port)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    made.setblocking(False)
    return made


def _socket(host: str, port: int) -> tuple[socket.socket, tuple[object, ...]]:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, proto)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made, address
