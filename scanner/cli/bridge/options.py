"""What the bridges' commands have in common: their options, and what is read from them."""

import os
import re
import ssl
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.errors import ConfigurationError
from scanner.settings import read_key_file

GroupOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The consumer group, which remembers how far it has come. [the target's]"
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="This consumer's own name in the group. One that was killed and comes back under its name goes "
        "on at once, else after 30 s. No two may have it at a time. [a new one each time]",
    ),
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="WHERE",
        help="Where a group begins that is not there yet: start, now, an entry's id (after it), or a time: "
        "2027-03-01T09:00:00+08:00.",
    ),
]
CampaignOption = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="Only this campaign's; may be repeated.")
]
TypeOption = Annotated[
    list[str] | None, typer.Option(metavar="TYPE", help="Only this type, such as scan.accepted; repeatable.")
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="Only with an award of this kind: points, cash; repeatable."),
]
ShareOption = Annotated[
    str,
    typer.Option(
        metavar="K/N",
        help="This one of n processes, from 0 on: each takes its members, in a group of its own, GROUP.KofN.",
    ),
]
CaOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificates to trust, in place of the system's (PEM).")
]
CertOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Our own certificate (PEM).")]
KeyOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM), of mode 0600.")]


def consumer_options(
    target: str,
    group: str | None,
    name: str | None,
    campaigns: list[str] | None,
    types: list[str] | None,
    kinds: list[str] | None,
    share: str,
    start: str,
) -> dict[str, Any]:
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", share)
    if not match or not int(match[1]) < int(match[2]):
        raise typer.BadParameter(f"--share: expected K/N with K from 0 to N-1, such as 0/2; got {share!r}")
    return {
        "group": group or target,
        "name": name,
        "campaigns": set(campaigns) if campaigns else None,
        "types": set(types) if types else None,
        "kinds": set(kinds) if kinds else None,
        "share": (int(match[1]), int(match[2])),
        "start": _start(start),
    }


def _start(text: str) -> str | datetime:
    if text in ("start", "beginning"):
        return "beginning"
    if text == "now" or re.fullmatch(r"[0-9]{1,20}(-[0-9]{1,20})?", text):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"--from: expected start, now, an entry's id or a time; got {text!r}"
        ) from None
    if moment.tzinfo is None:
        raise typer.BadParameter("--from: a time needs its zone, such as 2027-03-01T09:00:00+08:00")
    return moment


def private(path: Path | None) -> Path | None:
    if path is not None:
        _read(path)
    return path


def _read(path: Path) -> bytes:
    if not path.exists():
        raise ConfigurationError(f"{path} is missing")
    return read_key_file(path)


def secret_of(option: str, file: Path | None, variable: str, *, required: bool = True) -> str | None:
    """A secret from a file, else from the environment."""
    if file is not None:
        try:
            text = _read(file).decode().strip()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{file} is not UTF-8") from None
    else:
        text = os.environ.get(variable, "").strip()
    if not text and (required or file is not None):
        raise ConfigurationError(f"a secret is needed: in a file, with {option} FILE, or in {variable}")
    return text or None


def tls_of(ca: Path | None, cert: Path | None, key: Path | None, *, wanted: bool) -> ssl.SSLContext | None:
    """What to trust and who we are; None where nothing was asked for."""
    if bool(cert) != bool(key):
        raise typer.BadParameter("--tls-cert and --tls-key belong together")
    if not (wanted or ca or cert):
        return None
    private(key)
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the certificates cannot be used: {error.strerror or error}") from None
    return context
