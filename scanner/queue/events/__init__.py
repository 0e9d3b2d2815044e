"""The stream's entries as other services see them: a model a type, and the rules by which they may change.

An entry is flat: names and values, all of them text; numbers are canonical decimals, lists and objects are
JSON, what is absent is left out. A model reads that form (its JSON Schema of mode ``validation`` describes
it), and writes the same with numbers and lists as such (mode ``serialization``): what `scanner stream tail`
prints and what bridges send on. A field is never renamed, reused or taken away; new fields and new types may
come. A reader keeps a field it does not know as it stands, and reads an entry of a type it does not know as
``Event``. docs/events.md has all of it in words.
"""

from scanner.queue.events.changes import (
    BudgetToppedUp,
    CampaignApplied,
    CampaignPaused,
    CampaignResumed,
    LotActivated,
    LotAssigned,
    LotBlocked,
    LotMoved,
    LotRegistered,
    PoolToppedUp,
)
from scanner.queue.events.event import Award, Event, Location
from scanner.queue.events.members import (
    DrawMade,
    GrantExpired,
    GrantMade,
    OfMember,
    ScanAccepted,
    ShareClaimed,
)
from scanner.queue.events.reading import MODELS, UnreadableError, event_of, read_event, read_pairs

__all__ = [
    "MODELS",
    "Award",
    "BudgetToppedUp",
    "CampaignApplied",
    "CampaignPaused",
    "CampaignResumed",
    "DrawMade",
    "Event",
    "GrantExpired",
    "GrantMade",
    "Location",
    "LotActivated",
    "LotAssigned",
    "LotBlocked",
    "LotMoved",
    "LotRegistered",
    "OfMember",
    "PoolToppedUp",
    "ScanAccepted",
    "ShareClaimed",
    "UnreadableError",
    "event_of",
    "read_event",
    "read_pairs",
]
