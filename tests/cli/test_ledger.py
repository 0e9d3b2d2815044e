import json
import stat

import pytest
from blake3 import blake3

from scanner.cli import ledger
from scanner.ledger.watermark import look, path_of, read_mark, write_mark
from tests.brand import settings_for
from tests.ledger.restoring import everything


@pytest.fixture
def export(scanner, tmp_path):
    """Exports, and returns the file and what was said."""

    def run(*options, name="ledger.jsonl"):
        done = scanner("stream", "export", "--out", tmp_path / name, *options)
        assert (done.code, done.err) == (0, ""), done
        return tmp_path / name, done.out

    return run


@pytest.fixture
def lot(mint):
    return mint()[0]


@pytest.fixture
def lose(in_store):
    """Loses all that the brand has, or one of its keys."""

    def run(name=""):
        async def work(store):
            names = [f"{store.keys.prefix}{name}"]
            names = names if name else await store.client.execute_command("KEYS", f"{store.keys.prefix}*")
            await store.client.execute_command("DEL", *names)

        in_store(work)

    return run


@pytest.fixture
def settings(data_dir):
    """The settings of the module's brand; its watermark is gone afterwards."""
    settings = settings_for(data_dir)
    yield settings
    path_of(settings).unlink(missing_ok=True)


@pytest.fixture
def asked(monkeypatch):
    """Sets what a person on a terminal answers; returns the questions."""
    questions = []

    def answer(yes):
        def confirm(question):
            questions.append(question)
            return yes

        monkeypatch.setattr(ledger.typer, "confirm", confirm)
        monkeypatch.setattr(ledger.sys.stdin, "isatty", lambda: True, raising=False)
        return questions

    return answer


def test_restored_from_an_export(scanner, export, lot, lose, in_store):
    file, said = export()
    before = in_store(everything)
    entries = len(before["events"][0])
    last = before["events"][0][-1][0].decode()
    assert said == f"{entries} entries in {file}; the next export: --from {last}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lose()
    done = scanner("ledger", "restore", file)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{entries} entries restored in ")
    assert done.out.endswith("now hold it against its ledger: scanner audit\n")
    assert in_store(everything) == before
    assert scanner("audit").code == 0


def test_restored_from_several_parts(scanner, export, lot, lose, in_store):
    first, said = export(name="1.jsonl")
    last = said.split()[-1]
    scanner("lot", "activate", lot)
    second, _ = export("--from", last, name="2.jsonl")
    before = in_store(everything)
    lose()
    scanner("ledger", "restore", second).refused(
        f"begins after entry {last}", "name all parts, the oldest first"
    )
    scanner("ledger", "restore", first, first).refused("begins after entry 0-0, and what is there ends at")
    assert in_store(everything) == {}
    assert scanner("ledger", "restore", first, second).code == 0
    assert in_store(everything) == before


def test_up_to_an_entry(export, lot, in_store):
    ids = [id.decode() for id, _ in in_store(everything)["events"][0]]
    file, _ = export("--to", ids[1])
    assert [json.loads(line).get("entry") for line in file.read_text().splitlines()] == [None, *ids[:2], None]


def test_entries_that_the_file_lacks_are_not_lost_unasked(scanner, export, lot, in_store, asked):
    file, _ = export()
    scanner("lot", "activate", lot)
    before = in_store(everything)
    first = before["events"][0][-1][0].decode()
    scanner("ledger", "restore", file).refused(
        f"1 entries that are not in the export, the first of them {first}"
    )
    assert in_store(everything) == before
    scanner("ledger", "restore", file, "--discard").refused("lose them knowingly")
    assert in_store(everything) == before
    questions = asked(False)
    assert "left as it was" in scanner("ledger", "restore", file, "--discard").err
    assert questions == [f"Lose 1 entries, from {first} on?"]
    assert in_store(everything) == before
    asked(True)
    assert scanner("ledger", "restore", file, "--discard").code == 0
    assert in_store(everything)["events"][0] == before["events"][0][:-1]
    assert scanner("audit").code == 0


def test_to_lose_them_without_being_asked(scanner, export, lot, in_store):
    file, _ = export()
    scanner("lot", "activate", lot)
    before = in_store(everything)
    assert scanner("ledger", "restore", file, "--discard", "--yes").code == 0
    assert in_store(everything)["events"][0] == before["events"][0][:-1]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:-1], "its last line is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:-5]], "cut off in line"),
        (lambda lines: lines[1:], "is no export"),
        (lambda lines: [], "cut off in line 1"),
        (lambda lines: [*lines[:1], *lines[2:]], "was changed, or is damaged"),
        (lambda lines: [lines[0], lines[1].replace(b"spring", b"summer"), *lines[2:]], "was changed"),
        (lambda lines: [*lines, b"\n"], "was changed, or is damaged"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "is not in its order"),
        (lambda lines: [lines[0], b"{}\n", *lines[1:]], "line 2 is no entry"),
        (lambda lines: [lines[0], b"[]\n", *lines[1:]], "line 2 is no line of an export"),
        (
            lambda lines: [lines[0].replace(b'"main"', b'"other"'), *lines[1:]],
            "is of brand other, not of main",
        ),
        (
            lambda lines: [lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]],
            "is no export that this",
        ),
    ],
)
def test_a_file_that_is_not_whole_is_refused_before_anything_happens(
    scanner, export, lot, in_store, damage, words
):
    file, _ = export()
    before = in_store(everything)
    file.write_bytes(b"".join(damage(file.read_bytes().splitlines(keepends=True))))
    assert scanner("ledger", "restore", file).refused(str(file), words)
    assert in_store(everything) == before


def test_a_ledger_that_does_not_add_up_is_not_restored(scanner, export, lot, in_store):
    file, _ = export("--from", in_store(everything)["events"][0][0][0].decode())
    head, *rest = file.read_text().splitlines()
    head = json.loads(head) | {"after": "0-0"}
    lines = "".join(f"{line}\n" for line in [json.dumps(head), *rest[:-1]])
    tail = json.loads(rest[-1]) | {"blake3": blake3(lines.encode()).hexdigest()}
    file.write_text(lines + json.dumps(tail) + "\n")
    before = in_store(everything)
    scanner("ledger", "restore", file).refused("does not add up at entry", "was never applied")
    assert in_store(everything) == before


def test_a_file_that_is_not_there(scanner, tmp_path):
    scanner("ledger", "restore", tmp_path / "none").refused("none cannot be read: No such file")


def test_a_file_is_not_replaced_unasked(scanner, export, lot):
    file, _ = export()
    scanner("stream", "export", "--out", file).refused("exists already; replace it with --force")
    export("--force")
    scanner("stream", "export", "--out", file.parent / "no" / "where").refused("cannot be written")
    assert [one.name for one in file.parent.glob(".*")] == []


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_what_is_no_entrys_id_is_misused(scanner, tmp_path, option):
    assert scanner("stream", "export", "--out", tmp_path / "x", option, "yesterday").misused(
        option, "entry's id"
    )


def test_an_entry_that_is_no_text_is_named(scanner, lot, in_store, tmp_path):
    async def work(store):
        id = await store.client.execute_command("XADD", store.keys.events, "*", "type", b"\xff")
        return id.decode(), store.keys.events

    id, events = in_store(work)
    scanner("stream", "export", "--out", tmp_path / "x").refused(f"entry {id} is not UTF-8")
    assert list(tmp_path.glob("*x*")) == []
    in_store(lambda store: store.client.execute_command("XDEL", events, id))


def test_while_it_is_restored_nothing_is_exported_nor_accepted(scanner, lot, in_store, tmp_path):
    async def begin(store):
        keys = store.keys
        await store.client.execute_command("RENAME", keys.events, keys.replaced)
        await store.client.execute_command("SET", keys.events, "the ledger is being restored")

    async def end(store):
        await store.client.execute_command("RENAME", store.keys.replaced, store.keys.events)

    in_store(begin)
    scanner("stream", "export", "--out", tmp_path / "x").refused("is being restored; if that was broken off")
    scanner("ledger", "accept").refused("is being restored; if that was broken off")
    scanner("lot", "activate", lot).refused("is being restored")
    in_store(end)


def test_there_is_nothing_to_accept(scanner, lot, settings, in_store):
    assert scanner("ledger", "accept").out.startswith("the store holds all that was seen in it")
    write_mark(settings, in_store(lambda store: look(store, None)))
    assert scanner("ledger", "accept").out.startswith("the store holds all that was seen in it")


def test_what_was_lost_is_accepted_knowingly(scanner, lot, settings, in_store, asked):
    async def lose_last(store):
        seen = await look(store, None)
        await store.client.execute_command("XDEL", store.keys.events, seen.entry)
        return seen, await look(store, None)

    scanner("lot", "activate", lot)
    write_mark(settings, in_store(lambda store: look(store, None)))
    seen, now = in_store(lose_last)
    done = scanner("ledger", "accept")
    assert done.code == 1
    assert done.err == "scanner: nothing was changed; to go on with this store, say --yes\n"
    found = f"its last one is {now}, and {seen} was seen in it"
    lost = f"entries after {now.entry} up to {seen} are forgotten, with what was claimed and won in them"
    assert done.out.splitlines() == [found, lost]
    asked(False)
    assert scanner("ledger", "accept").err == "scanner: nothing was changed\n"
    assert read_mark(settings) == seen
    asked(True)
    assert scanner("ledger", "accept").out.splitlines()[-1].startswith("accepted; start the services")
    assert read_mark(settings) == in_store(lambda store: look(store, None))


def test_an_empty_store_is_accepted(scanner, lot, settings, in_store, export, lose):
    file, _ = export()
    write_mark(settings, in_store(lambda store: look(store, None)))
    lose()
    done = scanner("ledger", "accept", "--yes")
    assert done.out.startswith("it is empty, and entry ")
    assert read_mark(settings) is None
    assert scanner("ledger", "restore", file).code == 0


def test_a_damaged_watermark_is_renewed(scanner, lot, settings, in_store):
    path_of(settings).write_text("{")
    assert "is damaged" in scanner("ledger", "accept").out
    assert scanner("ledger", "accept", "--yes").code == 0
    assert read_mark(settings) == in_store(lambda store: look(store, None))


def test_an_export_that_ends_before_what_was_seen_says_so(scanner, export, lot, settings, in_store):
    file, _ = export()
    scanner("lot", "activate", lot)
    write_mark(settings, seen := in_store(lambda store: look(store, None)))
    done = scanner("ledger", "restore", file, "--discard", "--yes")
    assert done.code == 0
    assert done.err.startswith(f"{seen} was seen, and the files end before it: what came after ")
    assert "no service starts before `scanner ledger accept`" in done.err
