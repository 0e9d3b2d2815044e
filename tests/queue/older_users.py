"""A store user whose line in the ACL file is older than the version that runs."""

import re

from scanner.ledger.acl import digest_of, user_line
from scanner.ledger.keys import Keys
from tests.guarded import PASSWORDS, Guarded


async def take_from(guarded: Guarded, role: str, *commands: str) -> None:
    """Takes commands from the user of a role, wherever the line grants them."""
    line = user_line(role, role, digest_of(PASSWORDS[role]), Keys("main"))
    for command in commands:
        line, had = re.subn(rf" \+{re.escape(command)}(?=[ )]|$)", "", line)
        assert had, command
    # A selector is one argument.
    _, user, *rules = re.findall(r"\([^)]*\)|\S+", line)
    await guarded.admin.execute_command("ACL", "SETUSER", user, *rules)
