"""scanner campaign disclose: the page that a campaign publishes before it starts."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from scanner.campaigns import CampaignFile
from scanner.cli.campaign import app, read_campaign_file
from scanner.cli.console import settings_of, with_store
from scanner.errors import CampaignError, ScannerError, StoreRefusedError
from scanner.ledger import campaigns
from scanner.ledger.connection import Store


@app.command()
def disclose(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The directory the pages are written into.")],
    id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The campaign's id; not needed with --file.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Disclose this campaign file, which need not be in force.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace pages that exist already.")] = False,
) -> None:
    """Writes what has to be published: organiser, dates, who takes part, prizes, odds, claims.

    Four files: ID.zh.md, ID.zh.html, ID.en.md and ID.en.html. Odds are computed from the campaign file.

    Example: scanner campaign disclose spring-2027 --out public
    """
    if file is None and id is None:
        raise typer.BadParameter("name the campaign by its ID, or its file with --file")
    if not out.is_dir():
        raise ScannerError(f"{out} is not a directory; make it first")
    version = None
    if file is not None:
        disclosed = read_campaign_file(file)
        if id not in (None, disclosed.campaign.id):
            raise CampaignError(f"{file} is campaign {disclosed.campaign.id}, not {id}; leave the ID out")
    else:
        assert id is not None
        name = id
        campaign = with_store(settings_of(context), lambda store: known_campaign(store, name))
        disclosed, version = campaign.file, campaign.plan.version
    files = pages_of(disclosed, version, out)
    if not force:
        for path in files:
            if path.exists():
                raise ScannerError(
                    f"{path} exists already; replace it with --force, or name another directory"
                )
    try:
        publish(files)
    except OSError as error:
        raise ScannerError(
            f"{out} cannot be written into: {error.strerror}; name another directory"
        ) from None
    state = f"rules {version}" if version else "a draft that is not in force"
    typer.echo(
        f"campaign {disclosed.campaign.id}, {state}: {', '.join(path.name for path in files)} in {out}"
    )


async def known_campaign(store: Store, id: str) -> campaigns.Campaign:
    campaign = await campaigns.read(store, id)
    if campaign is None:
        raise StoreRefusedError(
            f"there is no campaign {id}; `scanner campaign list` names those there are, --file takes a file"
        )
    return campaign


def pages_of(file: CampaignFile, version: str | None, out: Path) -> dict[Path, str]:
    """The pages of a campaign by the files they belong into."""
    # Imported here, with what writes them: every command would load it otherwise, `serve` too.
    from scanner.campaigns.disclosure import page
    from scanner.campaigns.disclosure.pages import html, markdown
    from scanner.campaigns.disclosure.wording import LANGUAGES

    files = {}
    for language in LANGUAGES:
        made = page(file, language, version)
        files[out / f"{file.campaign.id}.{language}.md"] = markdown(made)
        files[out / f"{file.campaign.id}.{language}.html"] = html(made)
    return files


def publish(files: dict[Path, str]) -> None:
    """Writes files that everybody may read. All are whole before the first one appears."""
    parts = {path.with_name(f".{path.name}.part"): path for path in files}
    try:
        for part, path in parts.items():
            _write(part, files[path].encode())
        for part, path in parts.items():
            part.replace(path)
    except BaseException:
        for part in parts:
            with suppress(OSError):
                part.unlink()
        raise


def _write(part: Path, data: bytes) -> None:
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
        os.fchmod(file.fileno(), 0o644)  # to be published, whatever the umask
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
