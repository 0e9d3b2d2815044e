"""scanner queue schema: the form of the events, for other languages and their tools."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from scanner.cli.console import print_json
from scanner.cli.queue import app
from scanner.errors import ScannerError
from scanner.queue.events import MODELS
from scanner.queue.form.asyncapi import document
from scanner.queue.form.compatibility import breaks_of_all
from scanner.queue.form.schemas import Form, Schema, schema_of, schemas

_FORMS: tuple[Form, ...] = ("data", "wire")


@app.command()
def schema(
    type: Annotated[str | None, typer.Argument(help="Such as scan.accepted. Default: all, by type.")] = None,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="The stream as an AsyncAPI document.")] = False,
    wire: Annotated[
        bool,
        typer.Option("--wire", help="Of the fields as they stand in the stream: flat, all of them text."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Writes all of it there: asyncapi.json and schemas/FORM/TYPE.json."),
    ] = None,
) -> None:
    """Prints the JSON Schemas (2020-12) of the events, or writes all descriptions into a directory.

    Where the directory has schemas already, they are replaced only by such as break no reader.

    Example: scanner queue schema scan.accepted
    """
    form: Form = "wire" if wire else "data"
    if out is not None and (type or wire or asyncapi):
        raise typer.BadParameter("--out writes everything: leave out TYPE, --wire and --asyncapi")
    if asyncapi and (type or wire):
        raise typer.BadParameter("--asyncapi has all types in their forms: leave out TYPE and --wire")
    if type is not None and type not in MODELS:
        raise ScannerError(f"there is no type {type}, but {', '.join(MODELS)}")
    if out is not None:
        write(out)
    elif asyncapi:
        print_json(document())
    else:
        print_json(schema_of(type, form) if type else schemas(form))


def write(directory: Path) -> None:
    """Writes, or says what would break. Raises ScannerError."""
    found = [text for form in _FORMS for text in breaks_of_all(_read(directory, form), schemas(form))]
    if found:
        raise ScannerError(
            f"this would break readers, so nothing was written in {directory}:\n" + "\n".join(found)
        )
    try:
        for form in _FORMS:
            place = _place(directory, form)
            place.mkdir(parents=True, exist_ok=True)
            for type, of in schemas(form).items():
                (place / f"{type}.json").write_bytes(_bytes(of))
        (directory / "asyncapi.json").write_bytes(_bytes(document()))
    except OSError as error:
        raise ScannerError(f"{directory} cannot be written: {error.strerror}") from error


def _place(directory: Path, form: Form) -> Path:
    return directory / "schemas" / form


def _read(directory: Path, form: Form) -> dict[str, Schema]:
    """What stands there, by type."""
    found = {}
    for path in sorted(_place(directory, form).glob("*.json")):
        try:
            found[path.stem] = orjson.loads(path.read_bytes())
        except (OSError, ValueError):
            found[path.stem] = {}
        if not isinstance(found[path.stem], dict) or "properties" not in found[path.stem]:
            raise ScannerError(f"{path} is not a schema of ours that can be read: remove it first")
    return found


def _bytes(data: Any) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
