"""What every command shares: its settings, a store for as long as it runs, and two ways to print data."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from scanner.codes import Keyring
from scanner.identity import TokenKeys
from scanner.ledger.connection import Store, opened
from scanner.ledger.watermark import look, read_mark
from scanner.settings import Settings, load_settings, read_key_file

T = TypeVar("T")
WIDEST = 10_000  # columns

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(context: typer.Context, **flags: Any) -> Settings:
    """The settings of a command: its own flags, then the flags before the command, then the environment."""
    return load_settings(**context.obj, **flags)


def keyring_of(settings: Settings) -> Keyring:
    return Keyring.parse(read_key_file(settings.keys_path))


def token_keys_of(settings: Settings) -> TokenKeys:
    return TokenKeys.parse(read_key_file(settings.token_keys_path))


def with_store(
    settings: Settings,
    work: Callable[[Store], Awaitable[T]],
    *,
    only_reads: bool = False,
    any_state: bool = False,
    makes: bool = False,
) -> T:
    """Runs ``work`` on the brand's store, the embedded one where no other is named.

    A store that has gone back is refused, like by the service, unless ``work`` is for ``any_state`` of it:
    a lot that is minted then would have the number, and so the codes, of one that was lost. An embedded store
    is there already, unless ``work`` is what ``makes`` a brand.
    """

    async def session() -> T:
        async with opened(settings, only_reads=only_reads, must_exist=not makes) as store:
            if not only_reads and not any_state:
                await look(store, read_mark(settings))
            return await work(store)

    return asyncio.run(session())


def actor() -> str:
    """Who makes a change, as the ledger names them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def print_json(data: Any) -> None:
    typer.echo(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on a terminal; columns parted by tabs where the output goes elsewhere.

    A value may be anybody's text: no part of it passes for a row or column of ours, or commands a terminal.
    """
    lines = [[_one_line(str(value)) for value in row] for row in rows]
    console = Console(markup=False, highlight=False, emoji=False)  # titles are text, whatever they hold
    if not console.is_terminal:
        for line in (columns, *lines):
            typer.echo("\t".join(line))
        return
    table = Table(*columns, box=None, header_style="bold")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for line in lines:
        table.add_row(*line)
    print_whole(console, table)


def print_whole(console: Console, table: Table) -> None:
    """Where the terminal is too narrow, lines go on in its next one: no id or number is cut."""
    needs = console.measure(table, options=console.options.update(width=WIDEST)).minimum
    console.print(table, width=max(console.width, needs), crop=False)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def print_fields(fields: Mapping[str, object]) -> None:
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}  {value}")


def progress_bar() -> Progress:
    """A bar on standard error, on a terminal only."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
