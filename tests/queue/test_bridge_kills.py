"""Bridges killed at any moment while scans arrive: nothing is lost, and what each promises of copies holds.

The controls are bridges that are broken on purpose, killed in the same way.
"""

from pathlib import Path
from random import Random

import pytest

from tests.brand import Brand, brand_in
from tests.faults.figures import say
from tests.faults.seeds import seeded, share
from tests.kafka import MockBroker, mock_broker
from tests.nats import NatsServer, ids_in, nats_server
from tests.queue.bridging import KILLS, Till, bridge, in_their_order, kill_at_random
from tests.queue.receiving import SECRET, Receiver, letters, receiving

CHAPTERS = share(1, 10)
STREAM = "scanner-main"


async def to_nats(
    brand: Brand, server: NatsServer, directory: Path, dice: Random, window_s: float, broken: str = ""
) -> tuple[Till, list[str]]:
    async with server.jetstream() as context:
        await context.add_stream(name=STREAM, subjects=["scanner.>"], duplicate_window=window_s)
    arguments = ("nats", "--server", server.url, "--name", "one", "--type", "scan.accepted", "--batch", 20)
    till = await Till(brand).open()
    await kill_at_random(brand, bridge(brand, directory, *arguments, broken=broken), till, dice)
    return till, await ids_in(server, STREAM)


async def to_kafka(
    brand: Brand, broker: MockBroker, directory: Path, dice: Random, broken: str = ""
) -> tuple[Till, list[str]]:
    arguments = ("kafka", "--server", broker.server, "--topic", broker.topic, "--name", "one")
    arguments = (*arguments, "--type", "scan.accepted", "--batch", 20)
    till = await Till(brand).open()
    await kill_at_random(brand, bridge(brand, directory, *arguments, broken=broken), till, dice)
    return till, await broker.ids()


async def to_a_webhook(
    brand: Brand, receiver: Receiver, directory: Path, dice: Random, broken: str = ""
) -> tuple[Till, list[str]]:
    arguments = ("webhook", receiver.url, "--name", "one", "--type", "scan.accepted", "--posts", 4)
    process = bridge(brand, directory, *arguments, broken=broken, SCANNER_WEBHOOK_SECRET=SECRET)
    till = await Till(brand).open()
    await kill_at_random(brand, process, till, dice)
    return till, receiver.ids


@pytest.mark.parametrize("window_s", [120, 0.1])
async def test_to_nats_each_scan_is_there_exactly_once(tmp_path, window_s):
    """A window of 0.1 s has always passed when the bridge is back: only the look makes it once."""
    scans = 0
    for chapter in range(CHAPTERS):
        directory = tmp_path / f"{chapter}"
        with seeded(chapter) as dice:
            async with brand_in(directory / "data") as brand, nats_server(directory) as server:
                till, came = await to_nats(brand, server, directory, dice, window_s)
            assert till.ids <= set(came)
            assert len(came) == len(set(came))
            assert in_their_order(came, till)
        scans += len(till.ids)
    say(
        f"bridge to NATS killed {KILLS * CHAPTERS} times (duplicate window {window_s:g} s): "
        f"{scans:,} scans, each there exactly once"
    )


@pytest.mark.parametrize(
    ("broken", "window_s"), [("acknowledges-first", 120), ("no-message-id", 120), ("never-looks", 0.1)]
)
async def test_control_to_nats_a_broken_bridge_is_found(brand, tmp_path, broken, window_s):
    with seeded() as dice:
        async with nats_server(tmp_path / "nats") as server:
            till, came = await to_nats(brand, server, tmp_path / "broken", dice, window_s, broken)
    lost, double = till.ids - set(came), len(came) - len(set(came))
    say(f"bridge to NATS, control {broken}, {KILLS} kills: {len(lost)} lost, {double} double")
    assert lost if broken == "acknowledges-first" else double


async def test_to_kafka_each_scan_is_there_once_after_deduplication(tmp_path):
    scans = double = 0
    for chapter in range(CHAPTERS):
        directory = tmp_path / f"{chapter}"
        with seeded(chapter) as dice, mock_broker() as broker:
            async with brand_in(directory / "data") as brand:
                till, came = await to_kafka(brand, broker, directory, dice)
            assert till.ids <= set(came)
            assert in_their_order(came, till)
        scans, double = scans + len(till.ids), double + len(came) - len(set(came))
    say(
        f"bridge to Kafka's stand-in killed {KILLS * CHAPTERS} times: {scans:,} scans, none lost, "
        f"{double} came twice"
    )


async def test_control_to_kafka_one_that_acknowledges_first_loses_some(brand, tmp_path):
    with seeded() as dice, mock_broker() as broker:
        till, came = await to_kafka(brand, broker, tmp_path / "broken", dice, "acknowledges-first")
    lost = till.ids - set(came)
    say(f"bridge to Kafka's stand-in, control acknowledges-first, {KILLS} kills: {len(lost)} lost")
    assert lost


async def test_to_a_webhook_each_scan_is_there_once_after_deduplication(tmp_path):
    scans = double = 0
    for chapter in range(CHAPTERS):
        directory = tmp_path / f"{chapter}"
        with seeded(chapter) as dice:
            async with brand_in(directory / "data") as brand, receiving() as receiver:
                till, came = await to_a_webhook(brand, receiver, directory, dice)
                assert await letters(brand) == []
            assert till.ids <= set(came)
            assert in_their_order(came, till)
        scans, double = scans + len(till.ids), double + len(came) - len(set(came))
    say(
        f"bridge to a webhook killed {KILLS * CHAPTERS} times: {scans:,} scans, none lost, {double} came "
        "twice, each is there once after deduplication"
    )


async def test_control_to_a_webhook_one_that_acknowledges_first_loses_some(brand, tmp_path):
    with seeded() as dice:
        async with receiving() as receiver:
            till, came = await to_a_webhook(brand, receiver, tmp_path / "broken", dice, "acknowledges-first")
    lost = till.ids - set(came)
    say(f"bridge to a webhook, control acknowledges-first, {KILLS} kills: {len(lost)} lost")
    assert lost
