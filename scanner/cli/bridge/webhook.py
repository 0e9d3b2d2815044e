"""scanner queue bridge webhook, and the secret that it signs with."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from scanner.cli.bridge.app import app
from scanner.cli.bridge.options import Certificates, Choice, secret_of, spread
from scanner.cli.bridge.running import run
from scanner.cli.console import settings_of
from scanner.errors import ScannerError
from scanner.queue.bridges import signing
from scanner.settings import Settings, write_key_file

log = logging.getLogger("scanner")

TRIES = 8


@app.command()
@spread
def webhook(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to POST; https, but for loopback.")],
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The secret, of mode 0600; two lines while it is replaced. Or SCANNER_WEBHOOK_SECRET.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=100, help="Most events in a POST; with 1 it is the event itself.")
    ] = 1,
    posts: Annotated[int, typer.Option(min=1, max=256, help="Most POSTs at once.")] = 16,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Most events a second, retries included.")
    ] = None,
    tries: Annotated[
        int,
        typer.Option(min=1, max=1000, help="Failures of an event, while others are taken, until it is dead."),
    ] = TRIES,
    timeout: Annotated[float, typer.Option(metavar="S", min=0.1, max=300, help="Wait for an answer.")] = 15.0,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Send in the clear: events say who won what.")
    ] = False,
    certificates: Certificates,
    choice: Choice,
) -> None:
    """POSTs events to a webhook, signed as Standard Webhooks has it.

    The receiver verifies the signature and its time, and answers an event that it has had with 200 again: the
    CloudEvent's id tells, the webhook-id only with --batch 1.

    Example: scanner queue bridge webhook https://crm.example/hooks/scans --secret-file hook.secret --rate 100
    """
    from scanner.queue.bridges.webhook_post import check_url

    settings = settings_of(context)
    check_url(url, allow_http=allow_http)
    text = secret_of("--secret-file", secret_file, "SCANNER_WEBHOOK_SECRET")
    assert text is not None
    keys = signing.parse_secrets(text)
    at_once = posts * batch
    options = {
        **choice.options("webhook"),
        "concurrency": min(at_once, 10_000),
        "ahead": max(1000, 2 * at_once),
        "rate": rate,
        "tries": tries,
    }
    hook = {"batch": batch, "posts": posts, "timeout_s": timeout, "tls": certificates.context(wanted=False)}
    run(settings, lambda stop: _post(settings, url, keys, hook, options, stop))


@app.command()
def secret(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, of mode 0600.")],
) -> None:
    """Makes a signing secret for a webhook.

    To replace a secret, put the new one in a second line, give it to the receiver, and take the old one out
    after that.

    Example: scanner queue bridge secret hook.secret
    """
    if os.path.lexists(file):
        raise ScannerError(f"{file} exists already; name another file")
    write_key_file(file, f"{signing.new_secret()}\n".encode())
    typer.echo(f"a new secret in {file}; give it to the receiver, and to nobody else")


async def _post(
    settings: Settings,
    url: str,
    keys: tuple[bytes, ...],
    hook: dict[str, Any],
    options: dict[str, Any],
    stop: asyncio.Event,
) -> None:
    from scanner.queue.bridges.bridge import Progress
    from scanner.queue.bridges.webhook import WebhookTarget
    from scanner.queue.consuming.consumer import Consumer

    progress = Progress(f"webhook {urlsplit(url).netloc}")
    target = WebhookTarget(url, keys, brand=settings.brand, progress=progress, on_gone=stop.set, **hook)
    consumer = Consumer(settings=settings, **options)
    consumer.handler(target.deliver)
    try:
        async with progress.said(), consumer:
            log.info("%s: bridging group %s", progress.target, consumer.group)
            await consumer.run(stop)
    finally:
        await target.close()
    if target.gone is not None:
        raise target.gone
