import asyncio

import pytest

from tests.brand import brand_in


@pytest.fixture
def scanned(data_dir, mint, scanner):
    """Three scans of a new lot by one member, as the service makes them: the lot's number."""
    no, file = mint(count=5)
    scanner("lot", "activate", no)

    async def scan():
        async with brand_in(data_dir) as brand:
            service = brand.scanner()
            for code in file.read_text().splitlines()[:3]:
                assert (await service.scan("alice", code))["outcome"] == "accepted"

    asyncio.run(scan())
    return no


def test_what_happened_adds_up(scanner, scanned):
    done = scanner("audit")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "campaign\tscans\tpool\tprize\tput in\tgiven\tlocked\tleft"
    assert lines[-1] == "it adds up"
    assert "every draw recomputed" in lines[-2]


def test_as_json_it_has_every_figure(scanner, scanned):
    claimed = scanner("lot", "show", scanned, "--json").json["claimed"]
    assert claimed == 3
    data = scanner("audit", "--json").json
    assert (data["adds_up"], data["differences"], data["draws_recomputed"]) == (True, [], True)
    assert data["campaigns"]["spring"]["scans"] == data["claims"] >= claimed
    assert data["campaigns"]["spring"]["pools"]["points"]["given"]["p50"] == data["claims"]


def test_only_one_campaign(scanner, scanned, campaign):
    campaign("quiet")
    data = scanner("audit", "--campaign", "quiet", "--json").json
    assert list(data["campaigns"]) == ["quiet"]
    assert scanner("audit", "--campaign", "nobody").refused("no campaign nobody")


def test_without_keys_draws_are_not_recomputed(scanner, scanned, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANNER_KEYS_FILE", str(tmp_path / "none.json"))
    done = scanner("audit")
    assert done.code == 0
    assert "draws not recomputed: no key file" in done.out


def test_a_claim_that_no_entry_tells_of_is_found(scanner, scanned, in_store):
    # The control: one claim record more than there are scans in the stream.
    async def forge(store):
        key = store.keys.claims(scanned, 0)
        await store.client.execute_command("HSET", key, 4, await store.client.execute_command("HGET", key, 0))

    async def mend(store):
        await store.client.execute_command("HDEL", store.keys.claims(scanned, 0), 4)

    in_store(forge)
    try:
        done = scanner("audit")
        assert done.code == 1
        assert "difference at " in done.out
        assert "it adds up" not in done.out
        as_json = scanner("audit", "--json")
        assert (as_json.code, as_json.json["adds_up"]) == (1, False)
        assert as_json.json["differences"]
    finally:
        in_store(mend)
    assert scanner("audit").code == 0
