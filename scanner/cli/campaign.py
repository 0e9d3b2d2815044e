"""scanner campaign: campaign files, and what is in force."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.campaigns import CampaignFile, not_drawn_yet, parse
from scanner.cli.console import AsJson, actor, print_fields, print_json, print_rows, settings_of, with_store
from scanner.errors import CampaignError, StoreRefusedError
from scanner.ledger import campaigns
from scanner.ledger.connection import Store

app = typer.Typer(name="campaign", help="What can be won.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="A campaign file (TOML).")]
FILE_MAX_BYTES = 1 << 20


# A product for `scanner run` and `scanner demo`.
DEMO_PRODUCT = "06901234567892"


def demo_campaign() -> CampaignFile:
    """The campaign of `scanner run` and `scanner demo`, which comes with the package."""
    return parse(files("scanner.campaigns").joinpath("demo.toml").read_text("utf-8"))


def read_campaign_file(path: Path) -> CampaignFile:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
        return parse(data.decode())
    except OSError as error:
        raise CampaignError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CampaignError(f"{path} is not UTF-8") from None
    except CampaignError as error:
        lines = str(error).splitlines()
        raise CampaignError(
            "\n  ".join([f"{path} is not a campaign file that can be used:", *lines])
        ) from None


@app.command()
def check(file: FileArgument, as_json: AsJson = False) -> None:
    """Checks a campaign file without a store, and says what this version would not draw.

    Example: scanner campaign check examples/paint.toml
    """
    campaign = read_campaign_file(file)
    pending = not_drawn_yet(campaign)
    if as_json:
        print_json({"campaign": campaign.campaign.id, "valid": True, "not_drawn_yet": pending})
        return
    typer.echo(f"{file}: campaign {campaign.campaign.id} is well formed, with {len(campaign.pool)} pools")
    for line in pending:
        typer.echo(f"not yet: {line}")


@app.command()
def apply(
    context: typer.Context,
    file: FileArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
) -> None:
    """Puts a campaign file in force. Applying it again changes nothing.

    Example: scanner campaign apply spring.toml
    """
    campaign = read_campaign_file(file)

    async def work(store: Store) -> None:
        try:
            changes = await campaigns.apply(store, campaign, by=actor(), dry_run=dry_run)
        except CampaignError as error:
            raise CampaignError("\n  ".join([f"{file} is refused:", *str(error).splitlines()])) from None
        would = "would be " if dry_run else "is "
        if changes is None:
            typer.echo(f"campaign {campaign.campaign.id} {would}new")
        elif not changes.changed:
            typer.echo(f"campaign {campaign.campaign.id} is in force already; nothing to change")
        else:
            for line in changes.difference:
                typer.echo(line)
            typer.echo(f"campaign {campaign.campaign.id} {would}changed")

    with_store(settings_of(context), work)


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")],
    as_json: AsJson = False,
) -> None:
    """Shows a campaign in force, and what its pools hold.

    Example: scanner campaign show spring-2027
    """

    async def work(store: Store) -> dict[str, Any]:
        campaign = await campaigns.read(store, id)
        if campaign is None:
            raise StoreRefusedError(
                f"there is no campaign {id}; `scanner campaign list` names those there are"
            )
        left = await campaigns.remaining(store, campaign.plan)
        head = campaign.file.campaign
        return {
            "id": id,
            "title": head.title,
            "organiser": head.organiser,
            "rules": campaign.plan.version,
            "starts": head.starts.isoformat(),
            "ends": head.ends.isoformat(),
            "pools": [
                {
                    "pool": pool.id,
                    "draw": pool.draw,
                    "prizes": [
                        {
                            "prize": prize.id,
                            "stock": prize.stock,
                            "left": left.get(pool.id, {}).get(prize.id) if prize.stock is not None else None,
                        }
                        for prize in pool.prizes
                    ],
                }
                for pool in campaign.plan.pools
            ],
        }

    data = with_store(settings_of(context), work)
    if as_json:
        print_json(data)
        return
    print_fields({name: value for name, value in data.items() if name != "pools"})
    typer.echo()
    rows = [
        (pool["pool"], pool["draw"], prize["prize"], _stock(prize["stock"]), _stock(prize["left"]))
        for pool in data["pools"]
        for prize in pool["prizes"]
    ]
    print_rows(("pool", "draw", "prize", "stock", "left"), rows)


def _stock(n: int | None) -> str:
    return "no limit" if n is None else f"{n:,}"


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Lists the campaigns in force.

    Example: scanner campaign list
    """

    async def work(store: Store) -> list[dict[str, str]]:
        rows = []
        for id in await campaigns.ids(store):
            campaign = await campaigns.read(store, id)
            if campaign:
                head = campaign.file.campaign
                rows.append(
                    {
                        "campaign": id,
                        "title": head.title,
                        "starts": head.starts.isoformat(),
                        "ends": head.ends.isoformat(),
                    }
                )
        return rows

    rows = with_store(settings_of(context), work)
    if as_json:
        print_json(rows)
    else:
        print_rows(("campaign", "title", "starts", "ends"), [tuple(row.values()) for row in rows])
