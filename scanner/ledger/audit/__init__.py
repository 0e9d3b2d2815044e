"""The audit: replays the stream, and holds the store against what comes out.

It may run beside a service under load. What an entry leaves for ever is looked up as the entry is folded.
What changes is read together with the stream's last entry, in one transaction, and the stream is folded up to
exactly there before the two are compared: the small state at once, what belongs to members in batches.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from scanner.codes import KeyTable
from scanner.ledger.audit.entries import Archive, TrimmedError
from scanner.ledger.audit.ledger import Ledger
from scanner.ledger.audit.members import compare_members
from scanner.ledger.audit.replay import Difference
from scanner.ledger.audit.state import compare_state
from scanner.ledger.audit.strays import find_strays
from scanner.ledger.connection import Store
from scanner.ledger.model.state import CampaignState

__all__ = ["Archive", "AuditReport", "TrimmedError", "audit"]

Progress = Callable[[int, int], None]


@dataclass
class AuditReport:
    """What the audit found. It adds up where ``differences`` is empty.

    ``claims`` counts the claim records that entries must have left. Each campaign has its prizes' accounts
    (``sheet()``), its ``budgets``, what was given by day, pool and kind (``given_rows()``), and how often
    what happened (``tally``); model/state.py and model/sheets.py say what these mean.
    """

    entries: int = 0
    claims: int = 0
    draws_recomputed: bool = False
    campaigns: dict[str, CampaignState] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


async def audit(
    store: Store,
    table: KeyTable | None = None,
    progress: Progress | None = None,
    archive: Archive | None = None,
) -> AuditReport:
    """Replays the ledger. With the codes' keys, every draw and every scan_id is recomputed.

    ``progress`` is called with (entries folded, entries there are). ``archive`` gives what the stream was
    trimmed of (entries.py).

    Raises:
        TrimmedError: the stream was trimmed, and there is no archive.
    """
    ledger = Ledger(store, table, progress or (lambda done, total: None), archive)
    await ledger.start()
    await compare_state(ledger)
    await compare_members(ledger)
    await find_strays(ledger)
    replay = ledger.replay
    return AuditReport(
        replay.entries, ledger.claims, table is not None, replay.model.campaigns, replay.differences
    )
