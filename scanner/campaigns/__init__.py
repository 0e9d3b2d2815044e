"""What can be won: the campaign file's model and checks, the plan it is compiled to, the rules, the draw.

A campaign file is text (`parse`), is kept in one canonical form (`canonical`, `from_canonical`), is
compared with the file it replaces (`compare`) and compiled to the plan that the store and the audit draw
by (`compile_plan`, `dump`, `load`). Nothing here does I/O or knows of the store. The reference draw is
`scanner.campaigns.draw.draw`.
"""

from scanner.campaigns.changes import Changes, compare
from scanner.campaigns.compiled import compile_plan
from scanner.campaigns.days import Day, day_at
from scanner.campaigns.file import CampaignFileError, canonical, from_canonical, parse
from scanner.campaigns.model import CampaignFile
from scanner.campaigns.plan import Plan, PlanPool, PlanPrize, dump, load
from scanner.campaigns.rules import Facts, Standing, may_draw, pools_entered, standing

__all__ = [
    "CampaignFile",
    "CampaignFileError",
    "Changes",
    "Day",
    "Facts",
    "Plan",
    "PlanPool",
    "PlanPrize",
    "Standing",
    "canonical",
    "compare",
    "compile_plan",
    "day_at",
    "dump",
    "from_canonical",
    "load",
    "may_draw",
    "parse",
    "pools_entered",
    "standing",
]
