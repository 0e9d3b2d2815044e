"""scanner queue status: who reads the stream, how far they have come, and what it takes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table

from scanner.cli.console import AsJson, print_json, print_whole, settings_of, with_store
from scanner.cli.queue import app
from scanner.errors import ScannerError
from scanner.ledger.connection import Store
from scanner.queue.archive import ArchiveError, Position, position
from scanner.queue.archive.manifest import read_head
from scanner.queue.limits import Level, Limit
from scanner.queue.status import GroupStatus, QueueStatus, read_status
from scanner.settings import Settings

EVERY_S = 2.0
COLUMNS = ("group", "behind", "oldest_s", "pending", "consumers", "idle_s", "dead", "again")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class Seen(NamedTuple):
    """The store's figures, and how far the archive's files on this host have come, if there are any."""

    status: QueueStatus
    files: Position | ArchiveError | None


Looks = AsyncIterator[Seen | ScannerError]
"""The figures each time, or why there are none this time."""


@app.command()
def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[
        float | None, typer.Option(metavar="S", min=0.1, help=f"Seconds between two looks. [{EVERY_S:g}]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prints how far each consumer group and the archive have come, and what the stream takes.

    A group is behind by the entries it was not given yet, and pending are those given and not acknowledged;
    its oldest is the first it has not finished, of either; again are dead letters that `scanner queue retry`
    sent back and nobody has finished yet. A group with dead letters is red. Elsewhere than on a terminal
    columns are parted by tabs; with --json --watch there is one object a line.

    Example: scanner queue status --watch
    """
    if every is not None and not watch:
        raise typer.BadParameter("--every belongs to --watch")
    settings = settings_of(context)

    async def once(store: Store) -> None:
        seen = await _look(store, settings)
        if as_json:
            print_json(_data(seen))
        else:
            _print(seen)
        if refused := seen.status.refused:
            commands = ", ".join(refused)
            typer.echo(f"scanner: not all is known: the store refuses {commands} to this user", err=True)

    async def again_and_again(store: Store) -> None:
        console = _console()
        looks = _looks(store, settings, every or EVERY_S)
        if console.is_terminal and not as_json:
            await _live(console, looks)
        else:
            await _lines(looks, _print_line if as_json else _print)

    with_store(settings, again_and_again if watch else once, only_reads=True)


async def _look(store: Store, settings: Settings, known: Collection[str] = ()) -> Seen:
    status = await read_status(store, settings, known)
    try:
        found = position(settings.archive_path)
        if found is not None:
            read_head(settings.archive_path, brand=settings.brand)
        return Seen(status, found)
    except ArchiveError as error:
        return Seen(status, error)


async def _looks(store: Store, settings: Settings, every_s: float) -> Looks:
    known: tuple[str, ...] = ()
    while True:
        try:
            seen = await _look(store, settings, known)
            known = tuple(group.name for group in seen.status.groups or ())
            yield seen
        except ScannerError as error:
            yield error
        await asyncio.sleep(every_s)


async def _live(console: Console, looks: Looks) -> None:
    shown: list[Table] = []
    with Live(console=console, auto_refresh=False) as live:
        async for seen in looks:
            if isinstance(seen, Seen):
                shown, trouble = [_figures(seen), _table(seen.status)], ""
            else:
                trouble = f"{seen}; tried again"  # below the figures that were seen last
            live.update(Group(*shown, trouble), refresh=True)


async def _lines(looks: Looks, show: Callable[[Seen], None]) -> None:
    said = ""
    async for seen in looks:
        if isinstance(seen, Seen):
            show(seen)
            said = ""
        elif str(seen) != said:
            said = str(seen)
            typer.echo(f"scanner: {said}; tried again", err=True)


def _print(seen: Seen) -> None:
    console = _console()
    if console.is_terminal:
        print_whole(console, _figures(seen))
        print_whole(console, _table(seen.status))
        return
    for name, value in _summary(seen).items():
        typer.echo(f"{name}\t{value}")
    typer.echo("\n" + "\t".join(COLUMNS))
    for group in seen.status.groups or ():
        typer.echo("\t".join(_row(group, _seconds)))


def _print_line(seen: Seen) -> None:
    typer.echo(orjson.dumps(_data(seen)).decode())


def _data(seen: Seen) -> dict[str, Any]:
    status, files, holder, archive = *seen, seen.status.holder, seen.status.archive
    return {
        **asdict(status),
        "limits": {limit.name: {"percent": limit.percent, "level": _level(limit)} for limit in status.limits},
        "archive": asdict(archive) if archive else None,
        "archive_files": files.entry if isinstance(files, Position) else None,
        "furthest_behind": holder.name if holder else None,
    }


def _summary(seen: Seen) -> dict[str, str]:
    status, files = seen
    sizes = {limit.name: f" of {_mib(limit.most)}, {limit.percent:.0f} %" for limit in status.limits}
    levels = [f"{limit.name} {_level(limit)}" for limit in status.limits if limit.level()]
    ages = f", the first {_age(status.first_s)} old, the last {_age(status.last_s)}" if status.entries else ""
    archive, holder = status.archive, status.holder
    left_out = status.groups_count - len(status.groups or ())
    lines = {
        "at": datetime.fromtimestamp(status.at_ms / 1000, UTC).isoformat(timespec="seconds"),
        "entries": f"{status.entries}{ages}",
        "stream": _mib(status.stream_bytes) + sizes.get("stream", ""),
        "memory": _mib(status.memory_bytes) + sizes.get("memory", ""),
        "limits": ", ".join(levels),
        "archive": f"up to {archive.position}, {archive.lag} entries behind" if archive else "none",
        "archive files": f"up to {files.entry}" if isinstance(files, Position) else str(files or ""),
        "furthest behind": holder.name if holder else "nobody",
        "not shown": f"{left_out} groups" if left_out else "",
    }
    if status.groups is None:
        lines |= {"archive": "not known", "furthest behind": "not known"}
    return {name: value for name, value in lines.items() if value}


def _row(group: GroupStatus, age: Callable[[float | None], str]) -> list[str]:
    behind = str(group.lag) if group.lag_is_exact else f"<={group.lag}"
    counts = (group.pending, group.consumers, group.dead, group.again)
    pending, consumers, dead, again = map(str, counts)
    return [group.name, behind, age(group.oldest_s), pending, consumers, age(group.idle_s), dead, again]


def _seconds(age_s: float | None) -> str:
    return "" if age_s is None else f"{age_s:.3f}"


def _figures(seen: Seen) -> Table:
    table = Table(box=None, show_header=False)
    for name, value in _summary(seen).items():
        table.add_row(name, value)
    return table


def _table(status: QueueStatus) -> Table:
    table = Table(box=None, header_style="bold")
    for column in COLUMNS:
        justify: JustifyMethod = "left" if column == "group" else "right"
        table.add_column(column.removesuffix("_s"), justify=justify, overflow="fold")
    for group in status.groups or ():
        table.add_row(*_row(group, _age), style="red" if group.dead else None)
    return table


def _console() -> Console:
    return Console(markup=False, highlight=False, emoji=False)  # names are text, whatever they hold


def _level(limit: Limit) -> str:
    return {Level.FREE: "free", Level.NEAR: "near", Level.FULL: "full"}[limit.level()]


def _mib(count: int | None) -> str:
    return "not known" if count is None else f"{count / (1 << 20):.1f} MiB"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
