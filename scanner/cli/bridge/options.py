"""What the bridges' commands have in common: their options, and what is read from them."""

import inspect
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.errors import ConfigurationError
from scanner.queue.tail import is_place
from scanner.settings import read_key_file


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of each dataclass among its parameters as options in its place."""
    spreads: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        made, parts = one.annotation, [one]
        if isinstance(made, type) and is_dataclass(made):
            parts = list(inspect.signature(made).parameters.values())
            spreads[one.name] = made, [part.name for part in parts]
        parameters += [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in parts]

    @wraps(command)
    def call(**given: Any) -> None:
        for name, (made, parts) in spreads.items():
            given[name] = made(**{part: given.pop(part) for part in parts})
        command(**given)

    vars(call).update(
        __signature__=inspect.Signature(parameters),
        __annotations__={one.name: one.annotation for one in parameters},
    )
    return call


@dataclass(frozen=True)
class Choice:
    """Whose events, which of them, and where from."""

    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The consumer group, which remembers how far it has come. [the target's]"
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="This consumer's own name in the group. One that was killed and comes back under its name "
            "goes on at once, else after 30 s. No two may have it at a time. [a new one each time]",
        ),
    ] = None
    campaign: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this campaign's; may be repeated.")
    ] = None
    type: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="Only this type, such as scan.accepted; repeatable."),
    ] = None
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only with an award of this kind: points, cash; repeatable."),
    ] = None
    share: Annotated[
        str,
        typer.Option(
            metavar="K/N",
            help="This one of n processes, from 0 on: each takes its members, in a group of its own, "
            "GROUP.KofN.",
        ),
    ] = "0/1"
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="Where a group begins that is not there yet: start, now, an entry's id (after it), or a "
            "time: 2027-03-01T09:00:00+08:00.",
        ),
    ] = "start"

    def options(self, target: str) -> dict[str, Any]:
        """A consumer's; ``target`` is the group where none is named."""
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", self.share)
        if not match or not int(match[1]) < int(match[2]):
            raise typer.BadParameter(
                f"--share: expected K/N with K from 0 to N-1, such as 0/2; got {self.share!r}"
            )
        return {
            "group": self.group or target,
            "name": self.name,
            "campaigns": set(self.campaign) if self.campaign else None,
            "types": set(self.type) if self.type else None,
            "kinds": set(self.kind) if self.kind else None,
            "share": (int(match[1]), int(match[2])),
            "start": _start(self.start),
        }


def _start(text: str) -> str | datetime:
    if text in ("start", "beginning"):
        return "beginning"
    if text == "now" or is_place(text):
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


@dataclass(frozen=True)
class Certificates:
    """Whom to trust, and who we are."""

    tls_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates to trust, in place of the system's (PEM)."),
    ] = None
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Our own certificate (PEM).")] = None
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM), of mode 0600.")] = None

    def context(self, *, wanted: bool) -> ssl.SSLContext | None:
        """None where nothing was asked for."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise typer.BadParameter("--tls-cert and --tls-key belong together")
        if not (wanted or self.tls_ca or self.tls_cert):
            return None
        private(self.tls_key)
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_cert is not None:
                context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the certificates cannot be used: {error.strerror or error}") from None
        return context


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
