"""The function library: the ``.lua`` files beside this module, loaded under a name made of their content.

A service of another version loads its library beside ours, and each calls its own. Functions are kept by the
store across restart and failover, so there is no moment in which a script has to be sent again.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import blake3

# In the order in which one may use another's local functions.
_FILES = (
    "entry",
    "lot_register",
    "lot_activate",
    "lot_block",
    "lot_move",
    "lot_assign",
    "campaign_apply",
    "campaign_pause",
    "campaign_resume",
    "pool_top_up",
    "budget_top_up",
    "session",
    "prizes",
    "limits",
    "wallet",
    "tries",
    "common",
    "terms",
    "scan",
    "request",
    "share",
    "packet",
    "claim",
    "keep",
)


@dataclass(frozen=True)
class Library:
    version: str  # 12 hex digits of the content's BLAKE3
    code: str

    @property
    def name(self) -> str:
        return f"scanner_{self.version}"

    def function(self, verb: str) -> str:
        """The name under which the store knows the function of ``<verb>.lua``."""
        return f"{verb}_{self.version}"


@cache
def library() -> Library:
    room = files(__package__) / "functions"
    body = "\n".join((room / f"{name}.lua").read_text("utf-8") for name in _FILES)
    version = blake3.blake3(body.encode()).hexdigest()[:12]
    return Library(version, f"#!lua name=scanner_{version}\nlocal VERSION = '{version}'\n{body}")
