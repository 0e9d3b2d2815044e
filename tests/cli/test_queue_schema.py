"""`scanner queue schema`."""

import json

import pytest

from scanner.queue.events import MODELS
from scanner.queue.form.asyncapi import document
from scanner.queue.form.schemas import schema_of, schemas


def test_one_type(typed):
    assert typed("queue", "schema", "lot.moved").json == schema_of("lot.moved", "data")
    assert typed("queue", "schema", "lot.moved", "--wire").json == schema_of("lot.moved", "wire")


def test_all_of_them(typed):
    assert typed("queue", "schema").json == schemas("data")
    assert typed("queue", "schema", "--wire").json == schemas("wire")


def test_the_stream(typed):
    assert typed("queue", "schema", "--asyncapi").json == json.loads(json.dumps(document()))


def test_no_such_type(typed):
    assert typed("queue", "schema", "lot.lost").refused("there is no type lot.lost", "lot.moved")


@pytest.mark.parametrize(
    "options",
    [("lot.moved", "--asyncapi"), ("--wire", "--asyncapi")]
    + [(*more, "--out", "here") for more in (("lot.moved",), ("--wire",), ("--asyncapi",))],
)
def test_what_does_not_go_together(typed, options):
    assert typed("queue", "schema", *options).misused("leave out")


def test_a_directory_of_everything(typed, tmp_path):
    assert typed("queue", "schema", "--out", tmp_path / "new" / "docs").code == 0
    written = {
        str(path.relative_to(tmp_path / "new" / "docs")): json.loads(path.read_bytes())
        for path in (tmp_path / "new").rglob("*.json")
    }
    assert written == {
        "asyncapi.json": document(),
        **{
            f"schemas/{form}/{type}.json": schema_of(type, form)
            for form in ("data", "wire")
            for type in MODELS
        },
    }
    assert typed("queue", "schema", "--out", tmp_path / "new" / "docs").code == 0


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("data/lot.moved", {"required": ["type"]}, "lot.moved: from_campaign is required now"),
        ("wire/lot.lost", {}, "lot.lost is gone"),
    ],
)
def test_what_would_break_a_reader_is_not_written(typed, tmp_path, name, change, said):
    typed("queue", "schema", "--out", tmp_path)
    path = tmp_path / "schemas" / f"{name}.json"
    path.write_text(json.dumps(schema_of("lot.moved", "data") | change))
    (tmp_path / "asyncapi.json").unlink()
    assert typed("queue", "schema", "--out", tmp_path).refused("would break readers", said)
    assert not (tmp_path / "asyncapi.json").exists()


def test_a_file_that_is_no_schema(typed, tmp_path):
    (tmp_path / "schemas" / "wire").mkdir(parents=True)
    for text in ("{", "[]"):
        (tmp_path / "schemas" / "wire" / "lot.moved.json").write_text(text)
        assert typed("queue", "schema", "--out", tmp_path).refused("lot.moved.json is not a schema of ours")


def test_a_directory_that_is_a_file(typed, tmp_path):
    (tmp_path / "file").write_text("")
    assert typed("queue", "schema", "--out", tmp_path / "file").refused("cannot be written")
