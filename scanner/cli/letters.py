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
from scanner.queue import letters
from scanner.queue.letter import Letter

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The consumer group, such as `points`.")]
Entries = Annotated[
    list[str] | None, typer.Argument(metavar="[ENTRY]…", help="Entries, as `scanner queue dead` names them.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters of the group.")]
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
    print_rows(
        columns, [(o.entry, o.type, o.tries, _moment(o.failed_at), _one_line(o.reason)) for o in found]
    )


@app.command()
def retry(
    context: typer.Context,
    group: Group,
    entries: Entries = None,
    everything: All = False,
    partition: PartitionNo = 0,
) -> None:
    """Gives dead letters to their group once more. They come behind what is new, and their tries count anew.

    Example: scanner queue retry points --all
    """
    done = _each(
        context,
        entries,
        everything,
        lambda store: letters.retry(store, group, entries or None, partition=partition),
    )
    typer.echo(f"{_letters(done)} of group {group} to be handled again")


@app.command()
def drop(
    context: typer.Context,
    group: Group,
    entries: Entries = None,
    everything: All = False,
    partition: PartitionNo = 0,
) -> None:
    """Deletes dead letters for ever: the group never handles these events. The ledger keeps them.

    Example: scanner queue drop points 1767225600000-0
    """
    done = _each(
        context,
        entries,
        everything,
        lambda store: letters.drop(store, group, entries or None, partition=partition),
    )
    typer.echo(f"{_letters(done)} of group {group} dropped")


@app.command()
def forget(
    context: typer.Context,
    group: Group,
    partitions: Annotated[int, typer.Option(min=1, help="How many partitions the stream has.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Destroys a consumer group that nobody needs any more: until then the stream keeps what it has not read.

    Where it has come to is forgotten, and with it what was retried and not handled yet. Consumers of it that
    run end. Dead letters stay; `scanner queue drop` deletes them.

    Example: scanner queue forget points
    """
    if not yes:
        if not sys.stdin.isatty():
            raise ScannerError(f"nothing was changed; to destroy group {group}, say --yes")
        if not typer.confirm(f"Destroy group {group}, and forget where it has come to?"):
            raise ScannerError("nothing was changed")

    async def work(store: Store) -> bool:
        return await letters.forget(store, group, partitions=partitions)

    if not with_store(settings_of(context), work):
        raise ScannerError(f"there is no group {group}: `scanner queue status` lists them")
    typer.echo(f"group {group} is destroyed")


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


def _one_line(text: str) -> str:
    """A reason comes from anybody's exception: no line of it may pass for one of ours."""
    return "".join(character if character.isprintable() else " " for character in text)
