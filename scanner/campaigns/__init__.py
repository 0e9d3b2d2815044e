"""What can be won: the campaign file's model and checks, the plan it is compiled to, the rules, the draw.

A campaign file is text (`parse`), is kept in one canonical form (`canonical`, `from_canonical`), is
compared with the file it replaces (`compare`) and compiled to the plan that the store and the audit draw
by (`compile_plan`, `dump`, `load`). Nothing here does I/O or knows of the store. The reference draw is
`scanner.campaigns.draw.draw`.
"""

from scanner.campaigns.changes import Changes, compare
from scanner.campaigns.file import CampaignFileError, canonical, from_canonical, parse
from scanner.campaigns.model import CampaignFile
from scanner.campaigns.pending import not_drawn_yet
from scanner.campaigns.plan import Plan, PlanPool, PlanPrize, compile_plan, dump, load
from scanner.campaigns.rules import pools_entered

__all__ = [
    "CampaignFile",
    "CampaignFileError",
    "Changes",
    "Plan",
    "PlanPool",
    "PlanPrize",
    "canonical",
    "compare",
    "compile_plan",
    "dump",
    "from_canonical",
    "load",
    "not_drawn_yet",
    "parse",
    "pools_entered",
]
