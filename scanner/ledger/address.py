"""Where the store is, read from its URL; and what a URL may not say.

redis-py lets a URL's query override what the code asked for: ``?retry_on_timeout=yes`` would send a claim
twice, ``?ssl_cert_reqs=none`` would talk to anybody. So the query is ours to read: it names TLS files, and
nothing else.
"""

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from scanner.errors import ConfigurationError

SCHEMES = ("redis", "rediss", "unix")
UNREADABLE = (
    "SCANNER_STORE_URL cannot be read; expected redis://[user:password@]host[:port], "
    "with what is special in a password percent-encoded"
)
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True)
class Address:
    """``url`` is without its query; ``tls`` are redis-py's arguments: what could weaken it is set."""

    url: str
    tls: dict[str, Any]


def address_of(url: str) -> Address:
    """Reads the URL of SCANNER_STORE_URL. What is said of it never repeats a part that may be secret.

    Raises:
        ConfigurationError: the scheme or the query is not one of ours, or a TLS file cannot be used.
    """
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        if parts.fragment or parts.port == 0:  # looking at the port raises where it is none
            raise ValueError
    except ValueError:  # its text may hold a part of the password
        raise ConfigurationError(UNREADABLE) from None
    if parts.scheme not in SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigurationError(f"SCANNER_STORE_URL must begin with one of {schemes}")
    if unknown := sorted(set(query) - set(TLS_FILES)):
        # Of a name that is not known nothing is shown: it may be the tail of a password with a `?` in it.
        known = ", ".join(TLS_FILES)
        raise ConfigurationError(
            f"SCANNER_STORE_URL: its query may hold {known} only, not {len(unknown)} other name(s); "
            "retries, time-outs and the checks of TLS are not for the URL to change, "
            "and a `?` in a password is written %3F"
        )
    bare = url.partition("?")[0]
    if parts.scheme != "rediss":
        if query:
            raise ConfigurationError(
                f"SCANNER_STORE_URL: {', '.join(sorted(query))} need a URL that begins with rediss://"
            )
        return Address(bare, {})
    _check_files(query)
    return Address(
        bare,
        {
            **query,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        },
    )


def _check_files(query: dict[str, str]) -> None:
    """Here once, so that what is wrong with a file is said as it is, and not as a store that is away."""
    if ("ssl_certfile" in query) != ("ssl_keyfile" in query):
        raise ConfigurationError("SCANNER_STORE_URL: ssl_certfile and ssl_keyfile belong together")
    context = ssl.create_default_context()
    for name, path in query.items():
        try:
            with Path(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise ConfigurationError(f"SCANNER_STORE_URL: {name} {path} cannot be read: {reason}") from None
        if name == "ssl_keyfile" and mode & 0o177:
            raise ConfigurationError(f"{path} has mode {mode:04o}; key files must be 0600: chmod 600 {path}")
    try:
        if "ssl_ca_certs" in query:
            context.load_verify_locations(cafile=query["ssl_ca_certs"])
        if "ssl_certfile" in query:
            # An empty password: a key that asks for one is refused, and not asked for on the terminal.
            context.load_cert_chain(query["ssl_certfile"], query["ssl_keyfile"], password=lambda: b"")
    except (ssl.SSLError, OSError):
        raise ConfigurationError(
            "SCANNER_STORE_URL: the TLS files are not PEM certificates and a key without a password "
            "that belong together"
        ) from None
