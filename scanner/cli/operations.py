"""What is done while a campaign runs: scanner campaign top-up, pause, resume; lot block, move, assign."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from scanner.campaigns.expected import Reading
from scanner.campaigns.money import Money, exponent, money_text
from scanner.cli.campaign import app as campaign_app
from scanner.cli.console import actor, settings_of, with_store
from scanner.cli.lot import RequestId, known_lot
from scanner.cli.lot import app as lot_app
from scanner.codes import valid_gtin14
from scanner.errors import StoreRefusedError, StoreUnavailableError
from scanner.identity.tokens import NAME_CHARS_MAX
from scanner.ledger import campaigns, lots, operations
from scanner.ledger.connection import Store

CampaignArgument = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
LotArguments = Annotated[list[int] | None, typer.Argument(metavar="LOT", min=1, help="The lots' numbers.")]
ProductOption = Annotated[
    str | None, typer.Option(metavar="GTIN", help="All lots of this product, in place of their numbers.")
]


def money_of(text: str, currency: str) -> int:
    """Minor units, from a decimal as a campaign file has it."""
    try:
        return TypeAdapter[int](Money).validate_python(
            text, context=Reading(currency=currency, exponent=exponent(currency))
        )
    except ValidationError as error:
        wanted = error.errors()[0]["msg"].replace(" in quotes", "")  # that is what a file needs
        raise typer.BadParameter(f"--budget: expected {wanted}, got {text!r}") from None


@campaign_app.command("top-up")
def top_up(
    context: typer.Context,
    id: CampaignArgument,
    pool: Annotated[str | None, typer.Argument(metavar="POOL", help="The pool's id.")] = None,
    prize: Annotated[str | None, typer.Argument(metavar="PRIZE", help="The prize's id.")] = None,
    n: Annotated[int | None, typer.Argument(metavar="N", min=1, help="How many more pieces.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Money for the pool's budget, or for the campaign's: 500.00"),
    ] = None,
    request: RequestId = None,
) -> None:
    """Adds pieces of a prize, or money to a budget, to what is left of it.

    Before a campaign has started, applying a changed file fills everything anew.
    Without --request-id it makes one up and names it, so that it can be repeated after a broken connection.

    Example: scanner campaign top-up spring-2027 lucky phone 10
    """
    if budget is None and (pool is None or prize is None or n is None):
        raise typer.BadParameter("POOL PRIZE N are needed, or --budget AMOUNT")
    if budget is not None and prize is not None:
        raise typer.BadParameter("name PRIZE N or --budget, not both")
    settings, request = settings_of(context), request or secrets.token_hex(8)

    async def work(store: Store) -> str:
        if budget is None:
            assert pool is not None
            assert prize is not None
            assert n is not None
            changed = await operations.top_up(store, id, pool, prize, n, by=actor(), request=request)
            done = f"{n:,} more of {pool}/{prize}"
        else:
            changed, done = await _top_up_budget(store, id, pool, budget, request)
        return f"{done} (request id {request})" if changed else f"request {request} was done before"

    try:
        typer.echo(f"campaign {id}: {with_store(settings, work)}")
    except StoreUnavailableError as error:
        again = f"whether it was done is unknown: repeat it with --request-id {request}"
        raise StoreUnavailableError(f"{error}; {again}") from None
    except KeyboardInterrupt:
        typer.echo(f"broken off: to be sure, repeat it with --request-id {request}", err=True)
        raise


async def _top_up_budget(
    store: Store, id: str, pool: str | None, text: str, request: str
) -> tuple[bool, str]:
    """Whether it was done now, and what."""
    campaign = await campaigns.read(store, id)
    if campaign is None:
        raise StoreRefusedError(f"there is no campaign {id}")
    currency = campaign.plan.currency
    amount = money_of(text, currency)
    changed = await operations.top_up_budget(store, id, pool, amount, by=actor(), request=request)
    more = f"{money_text(amount, exponent(currency))} {currency} more"
    return changed, f"{more} in the budget" + (f" of {pool}" if pool else "")


@campaign_app.command()
def pause(context: typer.Context, id: CampaignArgument, request: RequestId = None) -> None:
    """Pauses a campaign at once: nothing can be won in it, and its codes stay free.

    Example: scanner campaign pause spring-2027
    """

    async def work(store: Store) -> None:
        changed = await operations.pause(store, id, by=actor(), request=request or "")
        _tell(f"campaign {id}", changed, request, "is paused", "was paused")

    with_store(settings_of(context), work)


@campaign_app.command()
def resume(context: typer.Context, id: CampaignArgument, request: RequestId = None) -> None:
    """Lets a paused campaign go on.

    Example: scanner campaign resume spring-2027
    """

    async def work(store: Store) -> None:
        changed = await operations.resume(store, id, by=actor(), request=request or "")
        _tell(f"campaign {id}", changed, request, "goes on", "was not paused")

    with_store(settings_of(context), work)


@lot_app.command()
def block(
    context: typer.Context,
    nos: Annotated[list[int], typer.Argument(metavar="LOT", min=1, help="The lots' numbers.")],
    request: RequestId = None,
) -> None:
    """Blocks lots at once: none of their codes can be claimed any more.

    With a request id R each lot is done under R/LOT: the same command again finishes what was broken off.

    Example: scanner lot block 1
    """

    async def work(store: Store, no: int, request_of_lot: str) -> None:
        changed = await lots.block(store, no, by=actor(), request=request_of_lot)
        _tell(f"lot {no}", changed, request, "is blocked", "was blocked")

    _each(context, nos, None, request, work)


@lot_app.command()
def move(
    context: typer.Context,
    campaign: Annotated[str, typer.Option(help="The campaign they belong to from now on.")],
    nos: LotArguments = None,
    product: ProductOption = None,
    request: RequestId = None,
) -> None:
    """Moves lots to another campaign. What was claimed stays as it was.

    With a request id R each lot is done under R/LOT: the same command again finishes what was broken off.

    Example: scanner lot move 1 2 3 --campaign autumn-2027
    """

    async def work(store: Store, no: int, request_of_lot: str) -> None:
        changed = await lots.move(store, no, by=actor(), campaign=campaign, request=request_of_lot)
        now, before = f"belongs to campaign {campaign}", f"belonged already to campaign {campaign}"
        _tell(f"lot {no}", changed, request, now, before)

    _each(context, nos, product, request, work)


@lot_app.command()
def assign(
    context: typer.Context,
    nos: LotArguments = None,
    product: ProductOption = None,
    seller: Annotated[
        str | None, typer.Option(help="Whose sales their codes are, where a token names nobody.")
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Nobody is known to sell them.")] = False,
    request: RequestId = None,
) -> None:
    """Assigns lots to a seller.

    With a request id R each lot is done under R/LOT: the same command again finishes what was broken off.

    Example: scanner lot assign 1 2 3 --seller shop-17
    """
    if (seller is None) != nobody:
        raise typer.BadParameter("name --seller S or --nobody")
    if seller is not None and not (1 <= len(seller) <= NAME_CHARS_MAX and seller.isprintable()):
        raise typer.BadParameter(f"--seller: expected 1 to {NAME_CHARS_MAX} printable characters")
    whose = "nobody" if seller is None else f"seller {seller}"

    async def work(store: Store, no: int, request_of_lot: str) -> None:
        changed = await lots.assign(store, no, by=actor(), seller=seller or "", request=request_of_lot)
        _tell(f"lot {no}", changed, request, f"is assigned to {whose}", f"was assigned to {whose}")

    _each(context, nos, product, request, work)


def _each(
    context: typer.Context,
    nos: list[int] | None,
    product: str | None,
    request: str | None,
    work: Callable[[Store, int, str], Awaitable[None]],
) -> None:
    """Does ``work`` with each lot that is meant, once all of them are known to be there."""
    if bool(nos) == (product is not None):
        raise typer.BadParameter("name the lots, or --product GTIN")
    if product is not None and not valid_gtin14(product):
        raise typer.BadParameter(f"--product: {product!r} is not a GTIN-14 with a right check digit")

    async def all_of_them(store: Store) -> None:
        if product is None:
            meant = [await known_lot(store, no) for no in dict.fromkeys(nos or ())]
        elif not (meant := await lots.of_product(store, product)):
            raise StoreRefusedError(f"there is no lot of product {product}")
        for lot in meant:
            await work(store, lot.no, lots.request_of(request or "", lot.no))

    with_store(settings_of(context), all_of_them)


def _tell(what: str, changed: bool, request: str | None, now: str, before: str) -> None:
    # A request that was done before may have been overtaken since: what it found then is not how things are.
    doubt = f", or request {request} was done before" if request and not changed else ""
    typer.echo(f"{what} {now if changed else before}{doubt}")
