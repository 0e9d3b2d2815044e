"""A store that knows its users: a private Valkey process with an ACL file, and an eye on what it refused."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from scanner.ledger.acl import DEFAULT_USER_OFF, ROLES, digest_of, user_line
from scanner.ledger.client import Client
from scanner.ledger.connection import client_for
from scanner.ledger.embedded import _binary
from scanner.ledger.keys import Keys

ADMIN = "the-tests-own-administrator"
PASSWORDS = {role: f"{role}-Marked-Passw0rd!" for role in ROLES}
CONFIGURATION = """
port 0
unixsocket "{socket}"
unixsocketperm 600
dir "{directory}"
aclfile "{directory}/users.acl"
logfile "{directory}/store.log"
enable-debug-command yes
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
maxmemory-policy noeviction
save ""
"""


class Guarded:
    """``url(role)`` is the store's for a user of the role; ``admin`` may do everything."""

    def __init__(self, socket: Path, admin: Client, keys: Keys) -> None:
        self.socket = socket
        self.admin = admin
        self._keys = keys

    def url(self, role: str) -> str:
        return f"unix://{role}:{PASSWORDS[role]}@{self.socket}"

    async def refused(self) -> list[dict[str, str]]:
        """What ACL LOG holds: the user, the reason, and the command or key."""
        entries = await self.admin.execute_command("ACL", "LOG")
        texts = [
            {
                name.decode(): value.decode() if isinstance(value, bytes) else str(value)
                for name, value in pairs
            }
            for pairs in (zip(entry[::2], entry[1::2], strict=True) for entry in entries)
        ]
        return [{name: text[name] for name in ("username", "reason", "object")} for text in texts]

    async def forget(self) -> None:
        """Begins to count and to log anew."""
        await self.admin.execute_command("ACL", "LOG", "RESET")
        await self.admin.execute_command("CONFIG", "RESETSTAT")

    async def used(self) -> set[str]:
        """The commands that were run since ``forget``, by whomever but the administrator's own two."""
        stats = await self.admin.info("commandstats")
        names = {name.removeprefix("cmdstat_") for name in stats}
        return names - {"acl|log", "config|resetstat"}

    async def take(self, role: str, command: str) -> None:
        """Takes a command from the user of a role, who goes on with the connections there are."""
        line, had = re.subn(rf" \+{re.escape(command)}(?=[ )]|$)", "", _line(role, self._keys))
        assert had == 1
        await self._set_user(line)

    async def give_all(self, role: str) -> None:
        await self._set_user(_line(role, self._keys))

    async def limit_reader(self, *groups: str) -> None:
        """Leaves the reader the keys of these groups alone."""
        await self._set_user(
            user_line("reader", "reader", digest_of(PASSWORDS["reader"]), self._keys, groups=groups)
        )

    async def _set_user(self, line: str) -> None:
        """Rules as in a line of the file; a selector is one argument."""
        _, user, *rules = re.findall(r"\([^)]*\)|\S+", line)
        await self.admin.execute_command("ACL", "SETUSER", user, *rules)

    @asynccontextmanager
    async def client(self, role: str) -> AsyncIterator[Client]:
        """A client of its own for a user of the role."""
        client = client_for(self.url(role), 5000)
        try:
            yield client
        finally:
            await client.aclose()


def acl_file(keys: Keys) -> str:
    lines = [_line(role, keys) for role in ROLES]
    return "\n".join([*lines, DEFAULT_USER_OFF, f"user admin reset on >{ADMIN} ~* &* +@all", ""])


def _line(role: str, keys: Keys) -> str:
    return user_line(role, role, digest_of(PASSWORDS[role]), keys)


@contextmanager
def _process(directory: Path, users: str) -> Iterator[Path]:
    directory.mkdir(exist_ok=True)
    socket = directory / "s"
    (directory / "users.acl").write_text(users, "utf-8")
    configuration = CONFIGURATION.format(directory=directory, socket=socket)
    process = subprocess.Popen([_binary(), "-"], stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write(configuration.encode())
        process.stdin.close()
        yield socket
    finally:
        process.terminate()
        process.wait(30)


@asynccontextmanager
async def guarded_store(directory: Path, brand: str = "main") -> AsyncIterator[Guarded]:
    """Such a store in the directory, with one user a role, named as the role."""
    with _process(directory, acl_file(Keys(brand))) as socket:
        async with asyncio.timeout(30):
            while not socket.exists():  # noqa: ASYNC110 (another process's state sets no event)
                await asyncio.sleep(0.01)
        admin = client_for(f"unix://admin:{ADMIN}@{socket}", 5000)
        try:
            yield Guarded(socket, admin, Keys(brand))
        finally:
            await admin.aclose()
