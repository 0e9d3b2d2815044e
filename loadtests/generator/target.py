"""Whom load may be sent to: this machine, or a host whose owner says that it is theirs."""

import ipaddress

from loadtests.errors import LoadTestError

Address = tuple[str, int]


def require_own(address: Address, *, i_own_this_host: bool) -> None:
    """Raises LoadTestError for a host that is not a loopback address, unless it is said to be one's own."""
    host = address[0]
    if i_own_this_host or host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False  # a name may lead anywhere
    if not is_loopback:
        raise LoadTestError(
            f"{host} is not a loopback address: load belongs on hosts of one's own. "
            "Where it is one, say so with --i-own-this-host"
        )


def parse_address(text: str) -> Address:
    """``host:port``, ``[::1]:port`` or ``http://host:port``.

    Raises:
        LoadTestError: it is none of these.
    """
    host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
        raise LoadTestError(f"expected host:port, such as 127.0.0.1:8080; got {text!r}")
    return host, int(port)
