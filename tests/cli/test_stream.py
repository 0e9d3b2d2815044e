import json

import pytest


@pytest.fixture
def entries(scanner):
    def tail(*options):
        done = scanner("stream", "tail", *options)
        assert (done.code, done.err) == (0, "")
        return [json.loads(line) for line in done.out.splitlines()]

    return tail


@pytest.fixture
def story(scanner, mint, campaign, entries):
    """A lot's life: the entries of it, and its number."""
    before = entries()
    no, _ = mint(count=10)
    scanner("lot", "activate", no, "--to", 4)
    campaign("winter")
    scanner("lot", "move", no, "--campaign", "winter")
    scanner("lot", "block", no)
    return no, entries()[len(before) :]


def test_every_change_is_an_entry(story):
    no, told = story
    of_lot = [entry for entry in told if entry.get("lot") == no]
    assert [entry["type"] for entry in of_lot] == [
        "lot.registered",
        "lot.activated",
        "lot.moved",
        "lot.blocked",
    ]
    assert all(isinstance(entry["at"], int) and entry["by"] for entry in told)
    assert (of_lot[0]["campaign"], of_lot[2]["campaign"]) == ("spring", "winter")


def test_entries_are_in_order_and_each_has_its_id(story, entries):
    ids = [tuple(map(int, entry["entry"].split("-"))) for entry in entries()]
    assert ids == sorted(set(ids))


def test_from_an_entry_on_what_is_after_it_is_read(story, entries):
    everything = entries()
    assert entries("--from", everything[1]["entry"]) == everything[2:]
    assert entries("--from", everything[-1]["entry"]) == []


def test_from_a_time_on(story, entries):
    everything = entries()
    assert entries("--from", everything[-1]["at"] + 60_000) == []
    assert entries("--from", everything[0]["at"] - 1) == everything


def test_only_a_campaigns_entries(story, entries):
    everything = entries()
    of_winter = entries("--campaign", "winter")
    assert of_winter == [entry for entry in everything if entry.get("campaign") == "winter"]
    assert 0 < len(of_winter) < len(everything)
    assert entries("--campaign", "nobody") == []


@pytest.mark.parametrize("start", ["yesterday", "-1", "1-", "1-2-3", "", "$", "0\n"])
def test_a_wrong_start_is_refused(scanner, start):
    assert scanner("stream", "tail", f"--from={start}").refused("entry's id")


def test_an_entry_that_is_not_what_its_type_promises_is_named_and_the_others_are_shown(
    scanner, entries, in_store
):
    everything = entries()

    async def spoil(store):
        fields = ("type", "lot.blocked", "at", "007", "by", "secret", "lot", "7")
        return await store.client.execute_command("XADD", store.keys.events, "*", *fields)

    id = in_store(spoil).decode()
    done = scanner("stream", "tail")
    assert done.code == 1
    assert [json.loads(line) for line in done.out.splitlines()] == everything
    named, said = done.err.splitlines()
    assert named.startswith(f"entry {id} does not read as LotBlocked: at: ")
    assert said == "scanner: passed over as unreadable: 1; `scanner audit` says what is wrong"
    assert "secret" not in done.err

    async def mend(store):
        await store.client.execute_command("XDEL", store.keys.events, id)

    in_store(mend)


def test_an_entry_of_a_type_and_with_fields_that_are_not_known_is_shown_as_it_stands(
    scanner, entries, in_store
):
    async def add(store):
        fields = ("type", "lot.recalled", "at", "5", "lot", "7", "weather", "rain")
        return await store.client.execute_command("XADD", store.keys.events, "*", *fields)

    id = in_store(add).decode()
    assert entries()[-1] == {"entry": id, "type": "lot.recalled", "at": 5, "lot": "7", "weather": "rain"}
