import itertools

import orjson
import pytest

_numbers = itertools.count(1)
RAW = {"type": "scan.accepted", "at": "1", "member": "m-1"}


@pytest.fixture
def group(in_store):
    """A group of its own for this test, with three dead letters: of the entries 1-0, 2-0 and 3-0."""
    name = f"points-{next(_numbers)}"

    async def bury(store):
        ask, keys = store.client.execute_command, store.keys
        await ask("XGROUP CREATE", keys.events, name, "0", "MKSTREAM")
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
    assert scanner("queue", "dead", group, "--json").json[0] == {
        "entry": "1-0",
        "type": "scan.accepted",
        "tries": 5,
        "reason": "ValueError: no\naccount",
        "consumer": "w",
        "failed_at": "2026-01-01T00:00:00.123Z",
        "fields": RAW,
    }
    assert scanner("queue", "dead", "nobody", "--json").json == []


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
    assert scanner("queue", "drop", group, "--all").out == f"1 dead letter of group {group} dropped\n"
    assert entries(scanner, group) == []


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_what_is_meant_has_to_be_said_and_be_there(scanner, group, verb):
    assert scanner("queue", verb, group).misused("name the entries, or --all")
    assert scanner("queue", verb, group, "1-0", "--all").misused("name the entries, or --all")
    assert scanner("queue", verb, group, "1-0", "9-0").refused("no dead letter of entry 9-0", "queue dead")
    assert entries(scanner, group) == ["1-0", "2-0", "3-0"]


def test_a_letter_that_was_changed_by_hand_is_said(scanner, group, in_store):
    async def spoil(store):
        await store.client.execute_command("XADD", store.keys.dead(group), "*", "entry", "1-0")

    in_store(spoil)
    assert scanner("queue", "dead", group).refused("changed by hand")


def test_a_group_is_forgotten_once_somebody_agrees(scanner, group, in_store):
    async def groups(store):
        return [
            one["name"].decode()
            for one in await store.client.execute_command("XINFO GROUPS", store.keys.events)
        ]

    assert scanner("queue", "forget", group).refused("nothing was changed", "--yes")
    assert group in in_store(groups)
    assert scanner("queue", "forget", group, "--yes") == (0, f"group {group} is destroyed\n", "")
    assert group not in in_store(groups)
    assert entries(scanner, group) == ["1-0", "2-0", "3-0"]
    assert scanner("queue", "forget", group, "--yes").refused(f"no group {group}", "queue status")
    assert scanner("queue", "forget", "archive", "--yes").refused("the archive's")
