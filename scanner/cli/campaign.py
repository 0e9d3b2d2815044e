"""scanner campaign: campaign files, and what is in force."""

import sys
from collections.abc import Awaitable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.campaigns import CampaignFile, Changes, parse
from scanner.campaigns.law import concerns
from scanner.campaigns.money import exponent, money_text
from scanner.cli.console import AsJson, actor, print_fields, print_json, print_rows, settings_of, with_store
from scanner.errors import CampaignError, ScannerError, StoreRefusedError
from scanner.ledger import campaigns, operations
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
    """Checks a campaign file without a store, and warns of what the law on prize promotions forbids.

    Example: scanner campaign check examples/paint.toml
    """
    campaign = read_campaign_file(file)
    warnings = concerns(campaign)
    if as_json:
        law = [concern._asdict() for concern in warnings]
        print_json({"campaign": campaign.campaign.id, "valid": True, "law": law})
        return
    typer.echo(f"{file}: campaign {campaign.campaign.id} is well formed, with {len(campaign.pool)} pools")
    for concern in warnings:
        typer.echo(f"law: {concern.path}: {concern.text} ({concern.rule})")


@app.command()
def apply(
    context: typer.Context,
    file: FileArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a change.")] = False,
) -> None:
    """Puts a campaign file in force. Applying it again changes nothing.

    A change is shown first; on a terminal it is asked whether to make it.

    Example: scanner campaign apply spring.toml
    """
    campaign, settings = read_campaign_file(file), settings_of(context)
    id, asks = campaign.campaign.id, sys.stdin.isatty() and not yes

    async def act(store: Store, seen: str, what: str = "changed") -> None:
        await _judged(file, campaigns.apply(store, campaign, by=actor(), seen=seen))
        typer.echo(f"campaign {id} is {what}")

    async def show_and_act(store: Store) -> str | None:
        """The version that was judged, where it is to be asked first."""
        current = await campaigns.read(store, id)
        seen = current.plan.version if current else ""
        changes = await _judged(file, campaigns.apply(store, campaign, by=actor(), dry_run=True))
        if changes and not changes.changed:
            typer.echo(f"campaign {id} is in force already; nothing to change")
            return None
        for line in changes.difference if changes else ():
            typer.echo(line)
        what = "changed" if changes else "new"
        if dry_run:
            typer.echo(f"campaign {id} would be {what}")
        elif changes and asks:
            return seen
        else:
            await act(store, seen, what)
        return None

    if (seen := with_store(settings, show_and_act, makes=True)) is not None:
        # Asked without a store: the answer may take its time, and Ctrl-C shall end it.
        if not typer.confirm("Apply?"):
            raise ScannerError(f"campaign {id} is left as it was")
        with_store(settings, lambda store: act(store, seen))


async def _judged(file: Path, judgement: Awaitable[Changes | None]) -> Changes | None:
    try:
        return await judgement
    except CampaignError as error:
        raise CampaignError("\n  ".join([f"{file} is refused:", *str(error).splitlines()])) from None


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")],
    as_json: AsJson = False,
) -> None:
    """Shows a campaign in force, and what its pools and budgets hold.

    Example: scanner campaign show spring-2027
    """

    async def work(store: Store) -> dict[str, Any]:
        campaign = await campaigns.read(store, id)
        if campaign is None:
            raise StoreRefusedError(
                f"there is no campaign {id}; `scanner campaign list` names those there are"
            )
        left = await campaigns.remaining(store, campaign.plan)
        return _data(campaign, left, await operations.standing(store, id))

    data = with_store(settings_of(context), work)
    if as_json:
        print_json(data)
        return
    fields = {name: value for name, value in data.items() if name not in ("pools", "budgets")}
    print_fields({**fields, "paused": "yes" if data["paused"] else "no"})
    typer.echo()
    rows = [
        (pool["pool"], pool["draw"], prize["prize"], _stock(prize["stock"]), _stock(prize["left"]))
        for pool in data["pools"]
        for prize in pool["prizes"]
    ]
    print_rows(("pool", "draw", "prize", "stock", "left"), rows)
    if data["budgets"]:
        digits = exponent(data["currency"])
        typer.echo()
        print_rows(
            ("budget", "in the file", "left"),
            [
                (
                    budget["pool"] or "whole campaign",
                    money_text(budget["budget"], digits),
                    "missing" if budget["left"] is None else money_text(budget["left"], digits),
                )
                for budget in data["budgets"]
            ],
        )


def _data(
    campaign: campaigns.Campaign, left: dict[str, dict[str, int | None]], standing: operations.Standing
) -> dict[str, Any]:
    """What `show` tells. Money is in minor units; ``pool`` is null for the campaign's own budget."""
    head, plan = campaign.file.campaign, campaign.plan
    budgets = [(None, plan.budget), *((pool.id, pool.budget) for pool in plan.pools)]
    return {
        "id": plan.id,
        "title": head.title,
        "organiser": head.organiser,
        "rules": plan.version,
        "starts": head.starts.isoformat(),
        "ends": head.ends.isoformat(),
        "paused": standing.paused,
        "currency": plan.currency,
        "budgets": [
            {"pool": pool, "budget": budget, "left": standing.budgets.get(pool)}
            for pool, budget in budgets
            if budget is not None
        ],
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
            for pool in plan.pools
        ],
    }


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
