"""scanner ledger: what is done after the store was lost, or has gone back (docs/recovery.md)."""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from scanner.cli.console import keyring_of, progress_bar, settings_of, with_store
from scanner.errors import ConfigurationError, ScannerError, StoreRefusedError
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exports, Restored, Surplus
from scanner.ledger.restore import restore as restore_ledger
from scanner.ledger.watermark import Mark, WentBackError, entry_id, look, path_of, read_mark, write_mark
from scanner.queue.archive import START, read_archive
from scanner.settings import Settings

app = typer.Typer(
    name="ledger", help="Recovery: the state from an export, or without it.", no_args_is_help=True
)

# Slow disks may take their time: nobody is served meanwhile.
STORE_TIMEOUT_MS = 10_000
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@app.callback()
def ledgers() -> None:
    """Recovery, after a store was lost or went back."""


@app.command()
def restore(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="What was exported; of several parts, the oldest first. The first may be an archive.",
        ),
    ],
    discard: Annotated[
        bool, typer.Option("--discard", help="Also where the store holds entries that are not in the files.")
    ] = False,
    stream_from: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="An entry's id, or a time with its zone: what came before stays in the archive alone.",
        ),
    ] = START,
    yes: Yes = False,
) -> None:
    """Rebuilds the brand in the store from what `scanner stream export` has written.

    The files are checked whole first. While it runs every service answers `unavailable`. Broken off anywhere,
    it is run again. Wrong PINs are not in the ledger, and are forgotten where the store has lost them.

    Of a stream that was trimmed, the first part is the archive of `scanner queue keep`. With --stream-from,
    the stream begins there, for a store that has no room for all of it; what was claimed and won is whole.

    Example: scanner ledger restore ledger.jsonl
    """
    first = _entry_at(stream_from)
    if first != START and not files[0].is_dir():
        raise typer.BadParameter(
            "--stream-from leaves out of the stream what an archive has: name one as the first part"
        )
    settings = settings_of(context)
    settings = settings.model_copy(
        update={"store_timeout_ms": max(settings.store_timeout_ms, STORE_TIMEOUT_MS)}
    )
    began = time.monotonic()
    allowed: Surplus | None = None
    while True:
        try:
            done = _restored(settings, files, first, allowed, ask_never=discard and yes)
            break
        except _SurplusError as error:
            if not discard:
                raise StoreRefusedError(str(error)) from None
            if not sys.stdin.isatty():
                raise StoreRefusedError(f"{error} and --yes, because nobody can be asked here") from None
            # Asked without a store: the answer may take its time.
            if not typer.confirm(f"Lose {error.surplus.entries:,} entries, from {error.surplus.first} on?"):
                raise ScannerError("the store is left as it was") from None
            allowed = error.surplus
    seconds = time.monotonic() - began
    typer.echo(f"{done.entries:,} entries restored in {seconds:.1f} s ({done.entries / seconds:,.0f}/s)")
    if done.left_out:
        typer.echo(f"{done.left_out:,} of them are in {files[0]} alone: the stream begins after them")
    typer.echo("now hold it against its ledger: scanner audit")
    seen = read_mark(settings)
    if seen and entry_id(seen.entry) > entry_id(done.last):
        typer.echo(
            f"{seen} was seen, and the files end before it: what came after {done.last} is lost, and no "
            "service starts before `scanner ledger accept`. docs/recovery.md says what to do first",
            err=True,
        )


@app.command()
def accept(context: typer.Context, yes: Yes = False) -> None:
    """Goes on with a store that has lost entries that were seen in it: shows what, and renews the watermark.

    Codes that were claimed in what was lost look free, and win again. Services that run are to be restarted.

    Example: scanner ledger accept
    """
    settings = settings_of(context)
    found, seen, now = with_store(
        settings, lambda store: _looked(store, settings), any_state=True, makes=True
    )
    if not found:
        typer.echo("the store holds all that was seen in it: there is nothing to accept")
        return
    typer.echo(found)
    if seen is not None:
        since = f" after {now.entry}" if now and entry_id(now.entry) < entry_id(seen.entry) else ""
        typer.echo(f"entries{since} up to {seen} are forgotten, with what was claimed and won in them")
    if not yes:
        if not sys.stdin.isatty():
            raise ScannerError("nothing was changed; to go on with this store, say --yes")
        if not typer.confirm("Go on with this store?"):
            raise ScannerError("nothing was changed")
    try:
        if now is None:
            path_of(settings).unlink(missing_ok=True)
        else:
            write_mark(settings, now)
    except OSError as error:
        raise ConfigurationError(f"{path_of(settings)} cannot be written: {error.strerror}") from None
    typer.echo("accepted; start the services, and restart those that run")


def exports_of(paths: list[Path], brand: str, stream_from: str) -> Exports:
    """Parts of a ledger, of which the first may be the directory of an archive."""
    first, *files = paths
    if not first.is_dir():
        return Exports(paths, brand)
    return Exports(
        files,
        brand,
        lambda after: read_archive(first, brand=brand, after=after),
        stream_from=stream_from,
    )


def _entry_at(when: str) -> str:
    """The id of the first entry that there can be at a moment; an entry's id is its own."""
    try:
        entry_id(when)
    except ValueError:
        pass
    else:
        return when
    try:
        moment = datetime.fromisoformat(when)
        if moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError:
        raise typer.BadParameter(
            "--stream-from: expected an entry's id such as 1767225600000-0, or a time with its zone such as "
            f"2027-03-01T09:00:00+08:00; got {when!r}"
        ) from None
    return f"{max(0, (moment - _EPOCH) // timedelta(milliseconds=1))}-0"


class _SurplusError(ScannerError):
    def __init__(self, surplus: Surplus, text: str) -> None:
        super().__init__(text)
        self.surplus = surplus


def _restored(
    settings: Settings, files: list[Path], first: str, allowed: Surplus | None, *, ask_never: bool
) -> Restored:
    found: list[Surplus] = []

    def may_discard(surplus: Surplus) -> bool:
        found.append(surplus)
        return ask_never or surplus == allowed

    async def work(store: Store) -> Restored:
        table = keyring_of(settings).table() if settings.keys_path.exists() else None
        with progress_bar() as bar:
            task = bar.add_task("checking", total=None)
            return await restore_ledger(
                store,
                exports_of(files, settings.brand, first),
                table,
                may_discard=may_discard,
                progress=lambda what, done, total: bar.update(
                    task, description=what, completed=done, total=total
                ),
            )

    try:
        return with_store(settings, work, any_state=True, makes=True)
    except StoreRefusedError as error:
        if found:
            raise _SurplusError(found[-1], str(error)) from None
        raise


async def _looked(store: Store, settings: Settings) -> tuple[str, Mark | None, Mark | None]:
    """What is not as it was seen, or ""; what was seen; and the last entry there is."""
    seen, found = None, ""
    try:
        seen = read_mark(settings)
    except ConfigurationError as error:
        found = str(error)
    try:
        await look(store, seen)
    except WentBackError as error:
        found = error.found
    return found, seen, await look(store, None)
