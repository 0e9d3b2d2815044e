"""scanner store: the users that the store should know, and the functions that it needs."""

import secrets
import sys
from enum import StrEnum
from typing import Annotated

import typer

from scanner.cli.console import settings_of, with_store
from scanner.ledger.acl import DEFAULT_USER_OFF, ROLES, digest_of, user_line
from scanner.ledger.connection import Store
from scanner.ledger.keys import Keys

app = typer.Typer(name="store", help="The store's users and functions.", no_args_is_help=True)


class RoleName(StrEnum):
    """A role of ``acl.py``."""

    SERVICE = "service"
    OPERATOR = "operator"
    READER = "reader"
    KEEPER = "keeper"


@app.command()
def acl(
    context: typer.Context,
    role: Annotated[
        RoleName | None,
        typer.Option(help="; ".join(f"{name}: {role.purpose}" for name, role in ROLES.items()) + "."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="The user's name. Default: scanner-ROLE[-GROUP…]; of another brand BRAND-ROLE…"),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="A reader's own group; several times, where it has several. Default: all groups."),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Prints lines for the store's ACL file: users with exactly the commands and keys that they need.

    Without --role: all of them, and `default` switched off. A service that reads the stream has a user of
    its own with --role reader --group GROUP. Passwords are made up, and shown once on standard error; the
    lines hold their SHA-256.

    Example: scanner store acl > users.acl
    Example: scanner store acl --role reader --group points >> users.acl
    """
    if role is None and (user is not None or password_stdin):
        raise typer.BadParameter("--user and --password-stdin belong to one --role")
    if group and role is not RoleName.READER:
        raise typer.BadParameter("--group belongs to --role reader")
    groups = group or []
    keys = Keys(settings_of(context).brand)
    lines, shown = [], []
    for name in [role.value] if role else ROLES:
        who = user or "-".join(["scanner" if keys.brand == "main" else keys.brand, name, *groups])
        password = _read_password() if password_stdin else secrets.token_urlsafe(32)
        lines.append(user_line(name, who, digest_of(password), keys, groups=groups))
        if not password_stdin:
            shown.append(f"{who}  {password}")
    if role is None:
        lines.append(DEFAULT_USER_OFF)
        shown.append("`default` is off in these lines: have an administrator of your own in the same file")
    typer.echo("\n".join(lines))
    for line in shown:
        typer.echo(line, err=True)


@app.command()
def load(context: typer.Context) -> None:
    """Loads this version's functions into the store, for services that may not do that themselves.

    Before a new version of the service starts. Every command of an operator does it, too.

    Example: scanner store load
    """

    async def work(store: Store) -> None:
        typer.echo(f"the store has the functions {store.library.name}")

    with_store(settings_of(context), work, makes=True)


def _read_password() -> str:
    return sys.stdin.readline().rstrip("\r\n")
