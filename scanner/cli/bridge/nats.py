"""scanner queue bridge nats."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from scanner.cli.bridge.app import app
from scanner.cli.bridge.options import Certificates, Choice, private, secret_of, spread
from scanner.cli.bridge.running import carry_to, run
from scanner.cli.console import settings_of
from scanner.cli.token import ttl_seconds

MAX_BYTES_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@app.command()
@spread
def nats(
    context: typer.Context,
    *,
    server: Annotated[
        list[str], typer.Option(metavar="URL", help="nats://host:4222 or tls://…; repeatable.")
    ],
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="The JetStream stream. [scanner-BRAND]")
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(metavar="WORD", help="Subjects are WORD.BRAND.CAMPAIGN.TYPE, such as scanner.main.…."),
    ] = "scanner",
    create_stream: Annotated[
        bool, typer.Option("--create-stream", help="Make the stream where it is not there.")
    ] = False,
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Of a stream that is made.")] = 1,
    max_bytes: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Of a stream that is made, such as 50g; full, it takes no more."),
    ] = "",
    max_age: Annotated[
        str, typer.Option(metavar="TIME", help="Of a stream that is made: 7d drops what is older. [never]")
    ] = "",
    duplicate_window: Annotated[
        str, typer.Option(metavar="TIME", help="Of a stream that is made: how long ids are kept in memory.")
    ] = "2m",
    creds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Credentials file (JWT and seed), of mode 0600.")
    ] = None,
    nkey: Annotated[Path | None, typer.Option(metavar="FILE", help="NKEY seed, of mode 0600.")] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --password-file, or SCANNER_NATS_PASSWORD.")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Of mode 0600.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of mode 0600; or SCANNER_NATS_TOKEN.")
    ] = None,
    certificates: Certificates,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Most messages under way at once.")] = 500,
    choice: Choice,
) -> None:
    """Copies events to a stream of NATS JetStream, each exactly once for a group's life.

    The body is CloudEvents JSON, Nats-Msg-Id the event's own id. A group that is made anew sends again what
    is older than the stream's duplicate window, and a stream that drops what was read is not looked through.

    Example: scanner queue bridge nats --server nats://127.0.0.1:4222
    """
    from scanner.queue.bridges.nats import Connection, JetStreamTarget, NewStream

    settings = settings_of(context)
    _urls(server, ("nats", "tls", "ws", "wss"), "nats://host:4222")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", prefix):
        raise typer.BadParameter("--prefix: expected letters, digits, _ and -")
    made = NewStream(
        replicas=replicas,
        max_bytes=_bytes(max_bytes),
        max_age_s=ttl_seconds(max_age) if max_age else 0,
        duplicate_window_s=ttl_seconds(duplicate_window),
    )
    connection = Connection(
        servers=tuple(server),
        creds_file=private(creds),
        nkey_file=private(nkey),
        user=user,
        password=secret_of("--password-file", password_file, "SCANNER_NATS_PASSWORD") if user else None,
        token=secret_of("--token-file", token_file, "SCANNER_NATS_TOKEN", required=False),
        tls=certificates.context(wanted=any(url.startswith(("tls:", "wss:")) for url in server)),
    )
    target = JetStreamTarget(
        connection,
        stream=stream or f"scanner-{settings.brand}",
        brand=settings.brand,
        prefix=prefix,
        create=made if create_stream else None,
    )
    options = choice.options("nats")
    run(settings, lambda stop: carry_to(settings, target, options, batch, stop))


def _urls(urls: list[str], schemes: tuple[str, ...], example: str) -> None:
    for url in urls:
        try:
            parts = urlsplit(url)
            is_url = parts.scheme in schemes and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            is_url = False
        if not is_url:
            raise typer.BadParameter(f"--server: expected {example}")  # what came may hold a password
        if "@" in parts.netloc:
            raise typer.BadParameter("--server: no user or password in a URL; see --creds and --user")


def _bytes(text: str) -> int:
    """-1: no limit."""
    if not text:
        return -1
    match = re.fullmatch(r"([1-9][0-9]{0,11})([kmg]?)", text.lower())
    if not match:
        raise typer.BadParameter(f"--max-bytes: expected a number and k, m or g, such as 50g; got {text!r}")
    return int(match[1]) * MAX_BYTES_UNITS[match[2]]
