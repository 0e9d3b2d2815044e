"""scanner keys: the master keys that sign codes, and the keys of member tokens."""

from typing import Annotated

import typer

from scanner.cli.console import AsJson, keyring_of, print_json, print_rows, settings_of
from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys
from scanner.settings import Settings, write_key_file

app = typer.Typer(name="keys", help="The keys that sign codes and tokens.", no_args_is_help=True)


def create_missing_keys(settings: Settings) -> list[str]:
    """Creates the key files that are not there, and names those it made."""
    made = []
    for path, data in (
        (settings.keys_path, Keyring.new().dump()),
        (settings.token_keys_path, TokenKeys.new().dump()),
    ):
        if not path.exists():
            write_key_file(path, data)
            made.append(str(path))
    return made


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
def rotate(context: typer.Context) -> None:
    """Adds a master key that signs new lots from now on. Codes of older keys stay valid.

    Restart the service before a lot of the new key is activated.

    Example: scanner keys rotate
    """
    settings = settings_of(context)
    keyring = keyring_of(settings).rotate()
    write_key_file(settings.keys_path, keyring.dump())
    typer.echo(f"key {keyring.minting_kid} signs new lots")


@app.command()
def revoke(
    context: typer.Context, kid: Annotated[int, typer.Argument(metavar="KID", help="The key's id.")]
) -> None:
    """Refuses every code of a master key, for good: for a key that leaked. Restart the service after it.

    Example: scanner keys revoke 1
    """
    settings = settings_of(context)
    write_key_file(settings.keys_path, keyring_of(settings).revoke(kid).dump())
    typer.echo(f"key {kid} is revoked")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Lists the master keys, without what is secret of them.

    Example: scanner keys list --json
    """
    states = keyring_of(settings_of(context)).states()
    if as_json:
        print_json([state._asdict() for state in states])
    else:
        rows = [
            (kid, state, created.isoformat(), "yes" if mints else "") for kid, state, created, mints in states
        ]
        print_rows(("kid", "state", "created", "mints"), rows)
