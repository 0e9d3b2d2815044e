import itertools
import re

import orjson
import pytest

_numbers = itertools.count(1)
RAW = {"type": "scan.accepted", "at": "1", "member": "m-1"}


async def in_ledger(store, entry, fields=RAW):
    """Adds an entry, where it is not there; tests have the store in common."""
    ask, events = store.client.execute_command, store.keys.events
    if not await ask("XRANGE", events, entry, entry):
        await ask("XADD", events, entry, *(part for pair in fields.items() for part in pair))


@pytest.fixture
def group(in_store):
    """A group of its own for this test, with three dead letters: of the entries 1-0, 2-0 and 3-0."""
    name = f"points-{next(_numbers)}"

    async def bury(store):
        ask, keys = store.client.execute_command, store.keys
        for entry in ("1-0", "2-0", "3-0", "9-0"):
            await in_ledger(store, entry)
        await ask("XGROUP CREATE", keys.events, name, "0")
        for entry in ("1-0", "2-0", "3-0"):
            letter = {
                "entry": entry,
                "type": "scan.accepted",
                "tries": "5",
                "reason": "ValueError: no\naccount",
                "consumer": "w",
                "failed_at": "1767225600123",
                "fields": orjson.dumps(RAW).decode(),
            }
            await ask("XADD", keys.dead(name), "*", *(part for pair in letter.items() for part in pair))

    in_store(bury)
    return name


@pytest.fixture
def sent_back(in_store):
    """The entries that were sent back to a group."""

    def read(group):
        async def look(store):
            found = await store.client.xrange(store.keys.again(group), "-", "+", count=10)
            assert all(orjson.loads(fields[b"fields"]) == RAW for _, fields in found)
            return [fields[b"entry"].decode() for _, fields in found]

        return in_store(look)

    return read


def entries(scanner, group):
    return [letter["entry"] for letter in scanner("queue", "dead", group, "--json").json]


def test_dead_letters_are_listed_with_their_reasons(scanner, group):
    done = scanner("queue", "dead", group)
    assert done.out.splitlines() == [
        "entry\ttype\ttries\tfailed at\treason",
        *(f"{n}-0\tscan.accepted\t5\t2026-01-01T00:00:00.123Z\tValueError: no account" for n in (1, 2, 3)),
    ]
    listed = scanner("queue", "dead", group, "--json").json
    assert all(letter.pop("id") for letter in listed)
    assert listed[0] == {
        "entry": "1-0",
        "type": "scan.accepted",
        "tries": 5,
        "reason": "ValueError: no\naccount",
        "consumer": "w",
        "failed_at": "2026-01-01T00:00:00.123Z",
        "fields": RAW,
    }


def test_a_narrow_terminal_cuts_nothing_that_is_to_be_copied(on_terminal, group):
    shown = on_terminal(40, "queue", "dead", group)
    for n in (1, 2, 3):
        assert re.search(rf"^ *{n}-0 +scan\.accepted +5 +2026-01-01T00:00:00\.123Z +ValueError", shown, re.M)
    assert "…" not in shown


def test_some_or_all_are_retried(scanner, group, sent_back):
    done = scanner("queue", "retry", group, "2-0")
    assert done == (0, f"1 dead letter of group {group} to be handled again\n", "")
    assert (entries(scanner, group), sent_back(group)) == (["1-0", "3-0"], ["2-0"])
    done = scanner("queue", "retry", group, "--all")
    assert done == (0, f"2 dead letters of group {group} to be handled again\n", "")
    assert (entries(scanner, group), sent_back(group)) == ([], ["2-0", "1-0", "3-0"])
    assert (
        scanner("queue", "retry", group, "--all").out
        == f"0 dead letters of group {group} to be handled again\n"
    )


def test_some_or_all_are_dropped(scanner, group, sent_back):
    assert scanner("queue", "drop", group, "3-0", "1-0").out == f"2 dead letters of group {group} dropped\n"
    assert (entries(scanner, group), sent_back(group)) == (["2-0"], [])
    assert scanner("queue", "drop", group, "--all").refused("nothing was changed", "--yes")
    assert scanner("queue", "drop", group, "-y", "--all").out == f"1 dead letter of group {group} dropped\n"
    assert entries(scanner, group) == []


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_what_is_meant_has_to_be_said_and_be_there(scanner, group, verb):
    assert scanner("queue", verb, group).misused("name the entries, or --all")
    assert scanner("queue", verb, group, "1-0", "--all").misused("name the entries, or --all")
    assert scanner("queue", verb, group, "1-0", "9-0").refused("no dead letter of entry 9-0", "queue dead")
    assert entries(scanner, group) == ["1-0", "2-0", "3-0"]


@pytest.mark.parametrize("verb", ["dead", "retry", "drop"])
def test_a_group_that_is_not_there_is_said(scanner, group, verb):
    """A slip of the pen must not look like a group without a dead letter."""
    all_of_them = {"dead": [], "retry": ["--all"], "drop": ["--all", "--yes"]}[verb]
    assert scanner("queue", verb, "nobody", *all_of_them).refused("no group nobody", "queue status")
    assert scanner("queue", "drop", group, "--all", "--yes").code == 0
    assert scanner("queue", verb, group, *all_of_them).code == 0


def test_what_a_forgotten_group_left_is_dropped_and_not_sent_back_to_nobody(scanner, group, sent_back):
    assert scanner("queue", "forget", group, "--yes").code == 0
    assert scanner("queue", "retry", group, "--all").refused(f"no group {group}", "queue status")
    assert (entries(scanner, group), sent_back(group)) == (["1-0", "2-0", "3-0"], [])
    done = scanner("queue", "drop", group, "--all", "--yes")
    assert done.out == f"3 dead letters of group {group} dropped\n"


SPOILT = [
    {"fields": None},
    {"fields": "["},
    {"fields": '{"a": 1}'},
    {"entry": "1-0\n2-0\tscan.accepted"},
    {"entry": b"\xff"},
    {"tries": "many"},
    {"failed_at": "9" * 18},
    {"failed_at": "-1"},
]


@pytest.mark.parametrize("change", SPOILT, ids=str)
def test_a_letter_that_does_not_read_holds_no_other_up(scanner, group, in_store, sent_back, change):
    async def spoil(store):
        letter = letter_with(change)
        return await store.client.execute_command("XADD", store.keys.dead(group), "*", *letter)

    id = in_store(spoil).decode()
    done = scanner("queue", "dead", group)
    assert done.code == 0
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["entry", "1-0", "2-0", "3-0", id]
    assert "cannot be read" in done.out.splitlines()[-1]
    assert scanner("queue", "retry", group, id).refused(
        "cannot be read", f"`scanner queue drop {group} {id}`"
    )
    assert scanner("queue", "retry", group, "2-0").code == 0
    done = scanner("queue", "retry", group, "--all")
    assert done.refused("2 are to be handled again", "1 cannot be read", f"`scanner queue drop {group} {id}`")
    assert (entries(scanner, group), sent_back(group)) == ([id], ["2-0", "1-0", "3-0"])
    assert scanner("queue", "drop", group, id).code == 0
    assert entries(scanner, group) == []


def letter_with(change):
    """A dead letter's names and values, changed: None leaves one out."""
    whole = {"entry": "9-0", "type": "scan.accepted", "tries": "5", "reason": "r", "consumer": "w"}
    whole |= {"failed_at": "1767225600123", "fields": "{}"} | change
    return [part for pair in whole.items() if pair[1] is not None for part in pair]


def test_what_a_letter_holds_forges_no_line_and_reaches_no_terminal(scanner, group, in_store):
    async def add(store):
        evil = {"type": "\x1b]0;owned\x07\x1b[2Jred\n7-0\tall is well", "reason": "a\u202eb"}
        await store.client.execute_command("XADD", store.keys.dead(group), "*", *letter_with(evil))

    in_store(add)
    *_, last = scanner("queue", "dead", group).out.splitlines()
    assert last == "9-0\t ]0;owned  [2Jred 7-0 all is well\t5\t2026-01-01T00:00:00.123Z\ta b"


def test_a_group_is_forgotten_once_somebody_agrees(scanner, group, in_store):
    async def groups(store):
        return [
            one["name"].decode()
            for one in await store.client.execute_command("XINFO GROUPS", store.keys.events)
        ]

    assert scanner("queue", "forget", group).refused("nothing was changed", "--yes")
    assert group in in_store(groups)
    assert scanner("queue", "forget", group, "--yes").out.startswith(f"group {group} is destroyed; 3 dead")
    assert group not in in_store(groups)
    assert entries(scanner, group) == ["1-0", "2-0", "3-0"]
    assert scanner("queue", "forget", group, "--yes").refused(f"no group {group}", "queue status")
    assert scanner("queue", "forget", "archive", "--yes").refused("the archive's")


def test_forgetting_says_what_goes_with_the_group_and_what_stays(scanner, group):
    assert scanner("queue", "retry", group, "1-0", "3-0").code == 0
    done = scanner("queue", "forget", group, "--yes")
    assert done.out == (
        f"group {group} is destroyed, and with it 2 dead letters that were retried; 1 dead letter stays: "
        f"`scanner queue drop {group} --all`\n"
    )


FORGED = {"fields": orjson.dumps(RAW | {"member": "mallory"}).decode()}


@pytest.mark.parametrize("change", [{"entry": "2-0"} | FORGED, {"entry": f"{1 << 50}-0"} | FORGED], ids=str)
def test_a_letter_that_is_not_what_the_ledger_has_is_never_handled(
    scanner, group, in_store, sent_back, change
):
    """Each reader of the stream may add letters: none of them makes up an event that a group acts on."""

    async def forge(store):
        return await store.client.execute_command("XADD", store.keys.dead(group), "*", *letter_with(change))

    id = in_store(forge).decode()
    said = "not what the ledger has", f"`scanner queue drop {group} {id}`"
    assert scanner("queue", "retry", group, change["entry"]).refused(*said)
    assert sent_back(group) == []
    for _ in range(2):
        assert scanner("queue", "retry", group, "--all", "--unchecked").refused(*said)
    assert sent_back(group) == ["1-0", "2-0", "3-0"]
    assert [letter["id"] for letter in scanner("queue", "dead", group, "--json").json] == [id]
    assert scanner("queue", "drop", group, id).code == 0
    assert entries(scanner, group) == []


def test_what_the_stream_has_no_more_is_retried_once_somebody_has_looked(scanner, group, in_store, sent_back):
    async def add(store):
        old = {"entry": "0-7", "fields": orjson.dumps(RAW).decode()}
        await store.client.execute_command("XADD", store.keys.dead(group), "*", *letter_with(old))

    in_store(add)
    assert scanner("queue", "retry", group, "0-7").refused("has no more", "0-7", "--unchecked")
    assert scanner("queue", "retry", group, "--all").refused("3 are to be handled again", "has no more")
    assert sent_back(group) == ["1-0", "2-0", "3-0"]
    assert scanner("queue", "retry", group, "--all", "--unchecked").code == 0
    assert sent_back(group) == ["1-0", "2-0", "3-0", "0-7"]
