"""What the lines of a campaign file must be to each other, beyond what each must be by itself."""

from collections.abc import Iterator

from scanner.campaigns.fields import duration_text
from scanner.campaigns.model import CampaignFile, Pool
from scanner.campaigns.money import AMOUNT_MAX, exponent, money_text
from scanner.campaigns.prizes import Blank, Chance, Coupon, Physical


def inconsistencies(file: CampaignFile) -> Iterator[str]:
    """One problem a line, as `path: expected …, got …`."""
    yield from _products(file)
    yield from _worths(file)
    drawn_into = {pool.id for pool in file.pool if pool.entered_by == "draw"}
    shared = [at for at, pool in enumerate(file.pool) if pool.draw == "shared"]
    for at in shared[1:]:
        yield f"pool[{at}].draw: expected one shared pool in a campaign, got a second"
    for at, pool in enumerate(file.pool):
        path = f"pool[{at}]"
        yield from _keys_of_the_draw(path, pool)
        yield from _entered(path, pool)
        for place, prize in enumerate(pool.prize):
            if isinstance(prize, Blank) and pool.draw == "locked":
                wanted = "a kind that gives something, because a packet is there to be unlocked"
                yield f'{path}.prize[{place}].kind: expected {wanted}, got "none"'
            if isinstance(prize, Chance):
                yield from _chance(f"{path}.prize[{place}]", pool, prize, drawn_into)


def _products(file: CampaignFile) -> Iterator[str]:
    seen: set[str] = set()
    for at, product in enumerate(file.product or ()):
        if product.gtin in seen:
            yield f'product[{at}].gtin: expected a GTIN that no other product has, got "{product.gtin}"'
        seen.add(product.gtin)


def _worths(file: CampaignFile) -> Iterator[str]:
    """What is taken out of a budget is money like any other, and exact in Lua."""
    if file.campaign.budget is None and all(pool.budget is None for pool in file.pool):
        return
    digits = exponent(file.campaign.currency)
    for at, pool in enumerate(file.pool):
        for place, prize in enumerate(pool.prize):
            if isinstance(prize, Physical | Coupon) and (prize.value or 0) * prize.amount > AMOUNT_MAX:
                most = money_text(AMOUNT_MAX, digits)
                wanted = f"value times amount of at most {most}, because there is a budget"
                yield f"pool[{at}].prize[{place}].amount: expected {wanted}, got {prize.amount}"


# Key → the draws it belongs to, and whether those need it.
_KEYS: dict[str, tuple[str, bool]] = {
    "slots": ("shared", True),
    "open_for": ("shared", True),
    "giver": ("shared", False),
    "expires_after": ("locked", True),
}


def _keys_of_the_draw(path: str, pool: Pool) -> Iterator[str]:
    for key, (draw, is_needed) in _KEYS.items():
        value = getattr(pool, key)
        if value is not None and pool.draw != draw:
            wanted = f'none, because it belongs to draw = "{draw}"'
            yield f"{path}.{key}: expected {wanted}, got {_shown(key, value)}"
        if value is None and is_needed and pool.draw == draw:
            yield f'{path}.{key}: expected one, because the pool has draw = "{draw}", got nothing'
    if pool.draw in ("locked", "shared") and pool.beneficiary != "member":
        yield (
            f'{path}.beneficiary: expected "member", because a {pool.draw} packet is a member\'s, '
            f'got "{pool.beneficiary}"'
        )


def _entered(path: str, pool: Pool) -> Iterator[str]:
    if pool.entered_by != "draw":
        if pool.price is not None:
            yield f'{path}.price: expected none without entered_by = "draw", got a table'
        return
    if pool.draw in ("locked", "shared"):
        yield f'{path}.entered_by: expected "scan" with draw = "{pool.draw}", got "draw"'
    if pool.entry is not None and pool.entry.products is not None:
        yield f"{path}.entry.products: expected none, because a draw has no product, got a list"
    if pool.beneficiary != "member":
        wanted = '"member", because a draw is a member\'s'
        yield f'{path}.beneficiary: expected {wanted}, got "{pool.beneficiary}"'


def _chance(path: str, pool: Pool, prize: Chance, drawn_into: set[str]) -> Iterator[str]:
    if prize.pool not in drawn_into:
        yield f'{path}.pool: expected the id of a pool with entered_by = "draw", got "{prize.pool}"'
    if pool.draw == "shared" or pool.beneficiary != "member":
        wanted = "another kind, because a chance is won by the member who scans"
        yield f'{path}.kind: expected {wanted}, got "chance"'


def _shown(key: str, value: object) -> str:
    """A value as the file has it."""
    if isinstance(value, int) and key in ("open_for", "expires_after"):
        value = duration_text(value)
    return f'"{value}"' if isinstance(value, str) else str(value)
