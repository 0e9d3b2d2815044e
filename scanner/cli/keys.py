"""scanner keys: the master keys that sign codes, and the keys of member tokens."""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from scanner.cli.console import AsJson, keyring_of, print_json, print_rows, settings_of, token_keys_of
from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys
from scanner.settings import Settings, make_private_directory, read_key_file, write_key_file

Keys = TypeVar("Keys", Keyring, TokenKeys)

app = typer.Typer(name="keys", help="The keys that sign codes and tokens.", no_args_is_help=True)

OfTokens = Annotated[bool, typer.Option("--tokens", help="The keys of member tokens, not the master keys.")]

_NUMBER = re.compile(r"[0-9]{1,9}")
_IN_FORCE = "services on this host take it within a second, other hosts need the file"


def create_missing_keys(settings: Settings) -> list[str]:
    """Creates the key files that are not there, and names those it made."""
    made = []
    for path, data in (
        (settings.keys_path, Keyring.new().dump()),
        (settings.token_keys_path, TokenKeys.new().dump()),
    ):
        make_private_directory(path.parent)
        with _alone(path.parent):  # two who find none would both make one, and the first one's codes be lost
            if not path.exists():
                _write(path, data)
                made.append(str(path))
    return made


def _changed(path: Path, change: Callable[[bytes], Keys]) -> Keys:
    """The keys that a file holds from now on. One process at a time: of two changes, one would be lost."""
    with _alone(path.parent):
        keys = change(read_key_file(path))
        _write(path, keys.dump())
    return keys


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield  # reading the file says better what is wrong
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    try:
        write_key_file(path, data)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


@app.command()
def init(context: typer.Context) -> None:
    """Creates the key files, with mode 0600. What is there is never overwritten.

    Example: scanner keys init
    """
    made = create_missing_keys(settings_of(context))
    if not made:
        raise ConfigurationError("both key files exist already; `scanner keys rotate` adds a key")
    for path in made:
        typer.echo(f"created {path}; keep a copy in a safe place: codes cannot be checked without it")


@app.command()
def rotate(context: typer.Context, tokens: OfTokens = False) -> None:
    """Adds a master key that signs new lots from now on. Codes of older keys stay valid.

    With --tokens a key for member tokens: the last key in the file signs, all of them are accepted. Who
    issues tokens elsewhere gets the new file after every host that checks them.

    A running service takes the file within a second, without a restart. Other hosts need a copy of it.

    Example: scanner keys rotate --tokens
    """
    settings = settings_of(context)
    if tokens:
        token_keys = _changed(settings.token_keys_path, lambda data: TokenKeys.parse(data).rotate())
        typer.echo(f"key {token_keys.signing_kid} signs new tokens; {_IN_FORCE}")
    else:
        keyring = _changed(settings.keys_path, lambda data: Keyring.parse(data).rotate())
        typer.echo(f"key {keyring.minting_kid} signs new lots; {_IN_FORCE}")


@app.command()
def revoke(
    context: typer.Context,
    kid: Annotated[str, typer.Argument(metavar="KID", help="The key's id: 1, or t1 with --tokens.")],
    tokens: OfTokens = False,
) -> None:
    """Refuses every code and every share of a master key, for good: for a key that leaked.

    With --tokens every member token of a key. The key that signs is not revoked: rotate first.

    A running service takes the file within a second, without a restart. Other hosts need a copy of it.

    Example: scanner keys revoke 1
    """
    settings = settings_of(context)
    if tokens:
        _changed(settings.token_keys_path, lambda data: TokenKeys.parse(data).revoke(kid))
    elif not _NUMBER.fullmatch(kid):
        raise typer.BadParameter(f"a master key's id is a number, not {kid!r}; a token key's needs --tokens")
    else:
        _changed(settings.keys_path, lambda data: Keyring.parse(data).revoke(int(kid)))
    typer.echo(f"key {kid} is revoked; {_IN_FORCE}")


@app.command("list")
def list_(context: typer.Context, tokens: OfTokens = False, as_json: AsJson = False) -> None:
    """Lists the master keys and the keys of member tokens, without what is secret of them.

    With --tokens the token keys alone. --json prints one kind: the master keys, or with --tokens the others.

    Example: scanner keys list --json
    """
    settings = settings_of(context)
    if as_json:
        print_json(_of_tokens(settings) if tokens else _of_codes(settings))
        return
    if not tokens:
        masters = _of_codes(settings)
        rows = [(key["kid"], key["state"], key["created"].isoformat(), _yes(key["mints"])) for key in masters]
        print_rows(("kid", "state", "created", "mints"), rows)
        if not settings.token_keys_path.exists():  # a host that only mints has none
            return
        typer.echo()
    print_rows(("token kid", "signs"), [(key["kid"], _yes(key["signs"])) for key in _of_tokens(settings)])


def _of_codes(settings: Settings) -> list[dict[str, Any]]:
    return [state._asdict() for state in keyring_of(settings).states()]


def _of_tokens(settings: Settings) -> list[dict[str, Any]]:
    keys = token_keys_of(settings)
    return [{"kid": kid, "signs": kid == keys.signing_kid} for kid in keys.keys]


def _yes(holds: bool) -> str:
    return "yes" if holds else ""
