"""scanner queue bridge kafka."""

import re
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.bridge.app import app
from scanner.cli.bridge.options import Certificates, Choice, secret_of, spread
from scanner.cli.bridge.running import carry_to, run
from scanner.cli.console import settings_of


@app.command()
@spread
def kafka(
    context: typer.Context,
    *,
    server: Annotated[
        list[str], typer.Option(metavar="HOST:PORT", help="A broker to begin with; repeatable.")
    ],
    topic: Annotated[str, typer.Option(metavar="NAME", help="The topic; it must be there.")],
    mode: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="structured: all in the value; binary: headers and data."
        ),
    ] = "structured",
    sasl: Annotated[
        str, typer.Option(metavar="MECHANISM", help="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with --user.")
    ] = "",
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --password-file, or SCANNER_KAFKA_PASSWORD.")
    ] = None,
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Of mode 0600.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt the connections.")] = False,
    certificates: Certificates,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Most messages under way at once.")] = 500,
    choice: Choice,
) -> None:
    """Copies events to a topic of Kafka, through an idempotent producer; the key is the member.

    After a kill, and after an error that makes it begin with a new producer, what was under way may come once
    more: readers keep to ce_id. Tested against the broker that librdkafka has for tests, not yet against
    Kafka itself.

    Example: scanner queue bridge kafka --server kafka-1:9092 --topic scans --type scan.accepted
    """
    from scanner.queue.bridges.kafka import MECHANISMS, Brokers, KafkaTarget

    settings = settings_of(context)
    if mode not in ("structured", "binary"):
        raise typer.BadParameter(f"--format: expected structured or binary, got {mode!r}")
    if sasl and sasl not in MECHANISMS:
        raise typer.BadParameter(f"--sasl: expected one of {', '.join(MECHANISMS)}, got {sasl!r}")
    if bool(sasl) != bool(user):
        raise typer.BadParameter("--sasl and --user belong together")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
        raise typer.BadParameter("--topic: expected 1 to 249 of A-Z a-z 0-9 . _ -")
    for one in server:
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", one):
            raise typer.BadParameter(f"--server: expected host:port, got {one!r}")
    brokers = Brokers(
        servers=tuple(server),
        mechanism=sasl,
        user=user,
        password=secret_of("--password-file", password_file, "SCANNER_KAFKA_PASSWORD") if user else None,
        tls=certificates.context(wanted=tls),
    )
    target = KafkaTarget(
        brokers, topic=topic, brand=settings.brand, mode="binary" if mode == "binary" else "structured"
    )
    options = choice.options("kafka")
    run(settings, lambda stop: carry_to(settings, target, options, batch, stop))
