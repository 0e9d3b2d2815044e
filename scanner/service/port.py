"""The public port, which all workers share: the kernel spreads new connections over them."""

import socket

from scanner.errors import ConfigurationError


def shared_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the port together with others of this service; it does not listen yet."""
    bound, address = _socket(host, port)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound


def reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """Makes sure that the port is ours, and holds it without listening while workers come and go.

    Raises:
        ConfigurationError: somebody else has it, or there is no such address.
    """
    try:
        probe, address = _socket(host, port)
        with probe:
            # Without SO_REUSEPORT: a second service must not share the port by accident.
            probe.bind(address)
        held = shared_socket(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"SCANNER_PORT {port} on {host} cannot be used: {reason}") from None
    return held, held.getsockname()[1]


def _socket(host: str, port: int) -> tuple[socket.socket, tuple[object, ...]]:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, proto)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made, address
