"""What a campaign file may say already and this version cannot draw yet.

Such a file passes the check, so that it can be written ahead of time; applying it is refused, because a
budget or a limit that was accepted and then ignored would cost money.
"""

from collections.abc import Iterator

from scanner.campaigns.model import CampaignFile, Cash, Pool, Spread


def not_drawn_yet(file: CampaignFile) -> list[str]:
    """One plain message, with its path, for each thing in the file that keeps it from being applied."""
    messages = [] if file.limits is None else [_message("limits", "limits are", "them")]
    for at, pool in enumerate(file.pool):
        messages += _in_pool(f"pool[{at}]", pool)
    return messages


def _in_pool(path: str, pool: Pool) -> Iterator[str]:
    if pool.beneficiary != "member":
        yield _message(f"{path}.beneficiary", "beneficiaries other than the member are", "it")
    if pool.entry is not None:
        yield _message(f"{path}.entry", "entry conditions are", "them")
    if pool.budget is not None:
        yield _message(f"{path}.budget", "budgets are", "it")
    for at, prize in enumerate(pool.prize):
        if isinstance(prize, Cash) and isinstance(prize.amount, Spread):
            path_there = f"{path}.prize[{at}].amount"
            yield (
                f"{path_there}: amounts with min, max and total are checked but not drawn by this version;"
                " write one amount to apply this file"
            )


def _message(path: str, things_are: str, it: str) -> str:
    return f"{path}: {things_are} checked but not drawn by this version; remove {it} to apply this file"
