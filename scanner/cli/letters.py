"""scanner queue dead, retry, drop, forget: what a group could not handle, and groups that nobody reads."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from scanner.cli.console import AsJson, print_json, print_rows, settings_of, with_store
from scanner.cli.queue import app
from scanner.errors import ScannerError
from scanner.ledger.connection import Store
from scanner.queue.consuming import letters
from scanner.queue.consuming.letter import Letter

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The consumer group, such as `points`.")]
Entries = Annotated[
    list[str] | None, typer.Argument(metavar="ENTRY", help="Entries, as `scanner queue dead` names them.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters of the group.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
PartitionNo = Annotated[int, typer.Option("--partition", min=0, help="The stream's partition.")]


@app.command()
def dead(context: typer.Context, group: Group, partition: PartitionNo = 0, as_json: AsJson = False) -> None:
    """Lists a group's dead letters: events that it could not handle, and why. --json: with all their fields.

    Example: scanner queue dead points
    """

    async def work(store: Store) -> list[Letter]:
        return [one async for one in letters.letters(store, group, partition=partition)]

    found = with_store(settings_of(context), work, only_reads=True)
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "entry": one.entry,
                    "type": one.type,
                    "tries": one.tries,
                    "reason": one.reason,
                    "consumer": one.consumer,
                    "failed_at": _moment(one.failed_at),
                    "fields": dict(one.fields),
                }
                for one in found
            ]
        )
        return
    columns = ("entry", "type", "tries", "failed at", "reason")
    print_rows(columns, [(o.entry, o.type, o.tries, _moment(o.failed_at), o.reason) for o in found])


@app.command()
def retry(
    context: typer.Context,
    group: Group,
    entries: Entries = None,
    everything: All = False,
    partition: PartitionNo = 0,
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Also those whose entry the stream has no more."),
    ] = False,
) -> None:
    """Gives dead letters to their group once more. They come behind what is new, and their tries count anew.

    Each is held against the ledger first: one that differs was added by somebody, and stays.

    Example: scanner queue retry points --all
    """
    done = _each(
        context,
        entries,
        everything,
        lambda store: letters.retry(store, group, entries or None, partition=partition, unchecked=unchecked),
    )
    typer.echo(f"{_letters(done)} of group {group} to be handled again")


@app.command()
def drop(
    context: typer.Context,
    group: Group,
    entries: Entries = None,
    everything: All = False,
    partition: PartitionNo = 0,
    yes: Yes = False,
) -> None:
    """Deletes dead letters for ever: the group never handles these events. The ledger keeps them.

    Example: scanner queue drop points 1767225600000-0
    """

    async def work(store: Store) -> int:
        if everything:
            found = [one async for one in letters.letters(store, group, partition=partition)]
            _agree(yes, f"drop {_letters(len(found))} of group {group} for ever")
        return await letters.drop(store, group, entries or None, partition=partition)

    done = _each(context, entries, everything, work)
    typer.echo(f"{_letters(done)} of group {group} dropped")


@app.command()
def forget(
    context: typer.Context,
    group: Group,
    partitions: Annotated[int, typer.Option(min=1, help="How many partitions the stream has.")] = 1,
    yes: Yes = False,
) -> None:
    """Destroys a consumer group that nobody needs any more: until then the stream keeps what it has not read.

    Where it has come to is forgotten, and with it what was retried and not handled yet. Consumers of it that
    run end. Dead letters stay; `scanner queue drop` deletes them.

    Example: scanner queue forget points
    """

    async def work(store: Store) -> str:
        counts = [await letters.left_by(store, group, partition=no) for no in range(partitions)]
        retried, dead = (sum(some) for some in zip(*counts, strict=True))
        lost = f", and with it {_letters(retried)} that were retried" if retried else ""
        left = f"; {_letters(dead)} {'stays' if dead == 1 else 'stay'}: `scanner queue drop {group} --all`"
        _agree(yes, f"destroy group {group} and where it has come to{lost}")
        await letters.forget(store, group, partitions=partitions)
        return f"group {group} is destroyed{lost}{left if dead else ''}"

    typer.echo(with_store(settings_of(context), work))


def _agree(yes: bool, what: str) -> None:
    if not yes and not sys.stdin.isatty():
        raise ScannerError(f"nothing was changed; to {what}, say --yes")
    if not yes and not typer.confirm(f"{what[0].upper()}{what[1:]}?"):
        raise ScannerError("nothing was changed")


def _each(
    context: typer.Context,
    entries: list[str] | None,
    everything: bool,
    work: Callable[[Store], Awaitable[int]],
) -> int:
    if bool(entries) == everything:
        raise typer.BadParameter("name the entries, or --all")
    return with_store(settings_of(context), work, only_reads=True)


def _letters(n: int) -> str:
    return f"{n:,} dead letter{'' if n == 1 else 's'}"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
