"""Operations while the service runs: what each changes and writes, and that it is done once a request id."""

import pytest
from redis.exceptions import ResponseError

from scanner.errors import StoreRefusedError
from scanner.ledger import lots, operations
from scanner.ledger.directory import Directory
from tests.brand import POINTS, PRODUCT, Brand, campaign_toml
from tests.operating import (
    CASES,
    Case,
    Operation,
    activate,
    assign,
    entries,
    move,
    pause,
    prepare,
    resume,
    spring_toml,
    state,
    top_up,
)


@pytest.fixture(params=CASES)
async def case(request: pytest.FixtureRequest, brand: Brand) -> Case:
    """An operation on a brand that it can be done on: two campaigns and lot 1, which is not active."""
    await prepare(brand)
    if request.param == "campaign.resumed":
        await pause(brand, 1, "")
    return CASES[request.param]._replace(
        entry={"type": request.param.split()[0], **CASES[request.param].entry}
    )


async def value(brand: Brand, case: Case) -> bytes | None:
    return await brand.store.client.hget(case.key(brand, 1), case.field)


async def test_an_operation_changes_its_field_and_is_one_entry(brand: Brand, case: Case) -> None:
    count = len(await entries(brand.store))
    assert await value(brand, case) == case.before
    assert await case.do(brand, 1, "r-1")
    assert await value(brand, case) == case.after
    [entry] = (await entries(brand.store))[count:]
    assert entry.pop("at").isdecimal()
    assert entry == {**case.entry, "by": "test", "request": "r-1"}
    assert not (await brand.audit()).differences


async def test_without_a_request_id_it_leaves_none(brand: Brand, case: Case) -> None:
    assert await case.do(brand, 1, "")
    assert "request" not in (await entries(brand.store))[-1]
    assert await brand.store.client.hgetall(brand.store.keys.operations) == {}


async def test_a_request_id_is_done_once(brand: Brand, case: Case) -> None:
    assert await case.do(brand, 1, "r-1")
    after = await state(brand)
    assert not await case.do(brand, 1, "r-1")
    assert await state(brand) == after


async def test_a_request_id_is_for_one_thing(brand: Brand, case: Case) -> None:
    assert await case.do(brand, 1, "r-1")
    after = await state(brand)
    [what] = after["hashes"][3].values()
    with pytest.raises(StoreRefusedError) as refused:
        await case.other(brand, 1, "r-1")
    assert str(refused.value) == f"request id r-1 was used for something else: {what.decode()}"
    assert await state(brand) == after


async def test_nothing_is_written_where_the_ledger_cannot_be(brand: Brand, case: Case) -> None:
    client, keys = brand.store.client, brand.store.keys
    await client.execute_command("RENAME", keys.events, "aside")
    await client.execute_command("SET", keys.events, "broken")
    with pytest.raises(StoreRefusedError, match="the ledger cannot be written"):
        await case.do(brand, 1, "r-1")
    assert await value(brand, case) == case.before
    assert await client.hgetall(keys.operations) == {}
    await client.execute_command("RENAME", "aside", keys.events)
    assert await case.do(brand, 1, "r-1")


async def test_a_broken_list_of_requests_is_not_an_empty_one(brand: Brand, case: Case) -> None:
    client, keys = brand.store.client, brand.store.keys
    await client.execute_command("SET", keys.operations, "broken")
    with pytest.raises((StoreRefusedError, ResponseError), match=r"are not a hash|WRONGTYPE"):
        await case.do(brand, 1, "r-1")
    assert await value(brand, case) == case.before
    assert await case.do(brand, 1, "")


@pytest.mark.parametrize(
    ("do", "undo", "field"),
    [
        (assign("a"), assign("b"), "seller"),
        (move("autumn"), move("spring"), "campaign"),
        (pause, resume, "paused"),
    ],
    ids=["assign", "move", "pause"],
)
async def test_a_request_that_found_nothing_to_change_is_done_all_the_same(
    brand: Brand, do: Operation, undo: Operation, field: str
) -> None:
    await prepare(brand)
    assert await do(brand, 1, "r-1")
    count = len(await entries(brand.store))
    assert not await do(brand, 1, "r-2")
    assert len(await entries(brand.store)) == count
    assert await undo(brand, 1, "")
    undone = await state(brand)
    assert not await do(brand, 1, "r-2")  # or a repetition would do it after all
    assert await state(brand) == undone
    assert await do(brand, 1, "r-3")


async def test_a_request_that_was_refused_can_be_repeated(brand: Brand) -> None:
    await prepare(brand)
    with pytest.raises(StoreRefusedError):
        await move("winter")(brand, 1, "r-1")
    await brand.apply(campaign_toml("winter"))
    assert await move("winter")(brand, 1, "r-1")


async def test_a_repeated_request_is_not_judged_by_what_is_so_now(brand: Brand) -> None:
    await prepare(brand)
    assert await activate(4)(brand, 1, "r-1")
    await lots.block(brand.store, 1, by="test")
    assert not await activate(4)(brand, 1, "r-1")
    with pytest.raises(StoreRefusedError, match="is blocked"):
        await activate(5)(brand, 1, "r-2")

    later = {"starts": "2098-01-01T00:00:00Z", "ends": "2099-01-01T00:00:00Z"}
    stock = POINTS.replace("amount = 50", "amount = 50\nstock = 5")
    do = top_up(1, pool="points", prize="p50", campaign="later")
    await brand.apply(campaign_toml("later", stock, **later))
    assert await do(brand, 1, "r-3")
    await brand.apply(campaign_toml("later", **later))
    assert not await do(brand, 1, "r-3")
    with pytest.raises(StoreRefusedError, match="no stock limit"):
        await do(brand, 1, "r-4")


async def test_every_worker_sees_it_at_its_next_look(brand: Brand, case: Case) -> None:
    directory = Directory(brand.store)
    await directory.refresh()
    revision, lot, campaign = directory.revision, directory.lots[1], directory.campaigns["spring"]
    assert await case.do(brand, 1, "r-1")
    await directory.refresh()
    assert directory.revision == revision + 1
    # What has changed is read again, and only that.
    is_of_lot = case.entry["type"].startswith("lot.")
    assert (directory.lots[1] is lot, directory.campaigns["spring"] is campaign) == (not is_of_lot, is_of_lot)
    assert directory.lots[1] == await lots.read(brand.store, 1)
    if case.entry["type"] == "lot.assigned":
        assert (lot.seller, directory.lots[1].seller) == ("", "店 17")


async def test_a_lot_is_assigned_to_nobody_again(brand: Brand) -> None:
    await prepare(brand)
    assert not await assign("")(brand, 1, "")
    assert await assign("nobody")(brand, 1, "r-1")
    with pytest.raises(StoreRefusedError, match="for something else: assign lot 1 to seller nobody"):
        await assign("")(brand, 1, "r-1")
    assert await assign("")(brand, 1, "r-2")
    assert (await lots.read(brand.store, 1)).seller == ""
    assert "seller" not in (await entries(brand.store))[-1]


async def test_applying_a_file_leaves_a_pause_as_it_is(brand: Brand) -> None:
    await prepare(brand)
    await pause(brand, 1, "")
    await brand.apply(spring_toml(phones=4))
    assert (await operations.standing(brand.store, "spring")).paused
    await resume(brand, 1, "")
    assert not (await operations.standing(brand.store, "spring")).paused


async def test_lots_of_a_product(brand: Brand) -> None:
    await prepare(brand)
    other = "06901234567809"
    kid = brand.keyring.minting_kid
    for product in (other, PRODUCT):
        await lots.register(brand.store, by="t", kid=kid, size=1, product=product, campaign="autumn")
    assert [lot.no for lot in await lots.of_product(brand.store, PRODUCT)] == [1, 3]
    assert [lot.no for lot in await lots.of_product(brand.store, other)] == [2]
    assert await lots.of_product(brand.store, "00000000000000") == []


def test_each_lot_of_several_has_a_request_id_of_its_own() -> None:
    assert [lots.request_of("r", no) for no in (1, 12)] == ["r/1", "r/12"]
    assert lots.request_of("", 1) == ""
