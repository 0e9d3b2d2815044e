"""What the comparison makes of its figures: medians, ratios, the table, the JSON and the picture."""

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import report
from bench.compare.brand import CAMPAIGN_TOML, MEMBERS, Brand, full_pools
from bench.compare.chart import svg
from bench.compare.conduct import FULL, QUICK, Comparison, rotated
from bench.compare.cores import Cores, on_core, usable_cores
from bench.compare.fastapi_redis.codes import Codes
from bench.compare.figures import AIMS, Spread, ratios, spreads
from bench.compare.node import SOURCE
from bench.compare.peers import LOT, PEERS
from bench.compare.process import warnings_in
from scanner.campaigns import parse
from scanner.codes.format import SERIAL_MAX, derive

CONDITIONS: dict[str, Any] = {
    "cpu": "A processor <of> 2 GHz & more",
    "cores": 2,
    "pinned": "service on core 0",
    "system": "Linux",
    "python": "3.11.7",
    "packages": {"aiohttp": "3"},
    "node": {},
    "store": "embedded",
    "connections": 64,
    "rounds": 3,
}


def figures(service_us: float, **more: float) -> dict[str, float]:
    return {
        "service_us": service_us, "throughput_per_s": 1000.0, "service_busy_share": 0.5,
        "client_busy_share": 0.1, "open_service_us": 2 * service_us, "open_p50_ms": 1.5, "open_p99_ms": 12.25,
        "open_kept_share": 1.0, "open_late_share": 0.0, "alone_p50_us": 900.0, **more,
    }  # fmt: skip


def job(service_us: float, **more: float) -> dict[str, float]:
    stored = {
        "store_us": 20.0,
        "forged_service_us": service_us / 2,
        "forged_commands": 9,
        "forged_looks": 8.5,
    }
    return figures(service_us, **stored, **more)


ROUNDS = [
    {"scanner": job(40), "empty": figures(100), "fastapi": job(1000), "fastify": job(160)},
    {"scanner": job(90), "empty": figures(300), "fastapi": job(3000), "fastify": job(300)},
    {"scanner": job(50), "empty": figures(100), "fastapi": job(2000), "fastify": job(100)},
]


def comparison(**values: Any) -> Comparison:
    return Comparison(Cores(0, 1), **{"size": QUICK, "rate_per_s": 345.6, "rounds": ROUNDS, **values})


def test_medians_stand_beside_the_least_and_the_most() -> None:
    medians = spreads(ROUNDS)
    assert medians["scanner"]["service_us"] == Spread(50, 40, 90)
    assert medians["empty"]["open_service_us"] == Spread(200, 200, 600)
    assert "store_us" not in medians["empty"]


def test_a_ratio_is_formed_within_a_round_and_not_between_medians() -> None:
    found = ratios(ROUNDS)
    assert list(found) == list(AIMS)
    assert found["scanner/empty"] == pytest.approx((0.4, 0.3, 0.5))
    assert found["scanner/fastify"] == pytest.approx((0.3, 0.25, 0.5))
    assert found["scanner/fastapi"] == pytest.approx((0.03, 0.025, 0.04))
    assert found["forgery/scan"] == (0.5, 0.5, 0.5)


def test_a_ratio_needs_both_sides() -> None:
    assert ratios([{"empty": figures(100), "fastapi": job(1000)}]) == {}
    assert list(ratios([{"scanner": job(50), "fastapi": job(1000)}])) == ["scanner/fastapi", "forgery/scan"]


@given(st.integers(1, 6), st.integers(0, 20))
def test_in_as_many_rounds_as_peers_each_comes_once_at_each_place(count: int, first: int) -> None:
    names = [f"peer{n}" for n in range(count)]
    orders = [rotated(names, by) for by in range(first, first + count)]
    assert all(sorted(order) == names for order in orders)
    assert all(sorted(order[place] for order in orders) == names for place in range(count))


def test_the_table_has_a_column_for_each_peer_and_says_what_to_be_careful_with() -> None:
    slow = {**ROUNDS[0], "fastapi": job(1000) | {"open_kept_share": 0.8, "open_late_share": 0.02}}
    slow["empty"] = figures(100) | {"client_busy_share": 0.95}
    skipped, warnings = {"fastify": "no node"}, {"scanner": ["it is slow today"], "empty": []}
    found = comparison(rounds=[ROUNDS[0], slow], skipped=skipped, warnings=warnings)
    said = report.text(found, CONDITIONS)
    lines = said.splitlines()
    assert [lines[0].index(PEERS[name].title) for name in PEERS] == sorted(
        lines[0].index(peer.title) for peer in PEERS.values()
    )
    service = next(line for line in lines if line.startswith("  CPU of the service"))
    assert re.split(r"  +", service.strip()) == ["CPU of the service, µs", "40.0", "100", "1,000", "160"]
    assert "open loop, 346 a second" in said
    assert "skipped: Fastify + ioredis: no node" in said
    assert "scanner warned: it is slow today" in said
    assert "FastAPI + redis-py fell behind" in said
    assert "FastAPI + redis-py: the client lagged" in said
    assert "empty handler: the client set the pace" in said
    assert "scanner fell behind" not in said
    assert "scanner: the client" not in said
    assert "the figures say little" in said
    assert "the figures say little" not in report.text(comparison(size=FULL), CONDITIONS)
    assert "executed 9 commands; in as many idle seconds it is 8" in said
    assert re.search(r"scanner / aiohttp's empty handler +0\.40 +≤ 0\.40", said)
    assert max(map(len, lines)) <= 160


def test_the_json_holds_every_round_and_what_they_come_to() -> None:
    data = json.loads(json.dumps(report.data(comparison(skipped={"fastify": "no node"}), CONDITIONS)))
    assert data["rounds"] == ROUNDS
    assert data["medians"]["scanner"]["service_us"] == {"median": 50, "least": 40, "most": 90}
    assert data["ratios"]["scanner/empty"]["aim"] == 0.40
    assert data["skipped"] == {"fastify": "no node"}
    assert data["conditions"] == CONDITIONS


@pytest.mark.parametrize("rounds", [ROUNDS, [{"empty": figures(100)}], [{"scanner": job(0.4)}]])
def test_the_picture_is_an_xml_document_whose_bars_are_as_long_as_what_they_stand_for(rounds: Any) -> None:
    medians = spreads(rounds)
    root = ElementTree.fromstring(svg(medians, CONDITIONS))
    space = "{http://www.w3.org/2000/svg}"
    width = float(root.attrib["width"])
    bars = {
        name: [
            float(bar.attrib["width"]) for bar in root.iter(f"{space}rect") if bar.attrib["class"] == name
        ][1:]
        for name in ("service", "store")
    }  # the first of each is the legend's
    scale = max(bars["service"]) / max(cells["service_us"].median for cells in medians.values())
    for at, cells in enumerate(medians.values()):
        store = cells["store_us"].median if "store_us" in cells else 0
        assert bars["service"][at] == pytest.approx(cells["service_us"].median * scale, abs=0.5)
        assert bars["store"][at] == pytest.approx(store * scale, abs=0.5)
    for text in root.iter(f"{space}text"):
        assert 0 <= float(text.attrib["x"]) + 7.2 * len(text.text or "") <= width + 20
    said = "".join(root.itertext())
    assert all(PEERS[name].title in said for name in medians)
    assert "A processor <of> 2 GHz & more" in said
    assert "prefers-color-scheme: dark" in said


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins nothing")
def test_one_core_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert usable_cores() == Cores(3, 3)
    assert "there is only one core" in usable_cores().said
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 2, 5})
    assert usable_cores() == Cores(2, 5)
    assert usable_cores().said == "service on core 2, store and client on core 5"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins nothing")
def test_what_is_pinned_for_a_while_is_not_pinned_afterwards() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_a_services_warnings_are_found_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text(
        "codes are verified in pure Python\n"
        "2027-03-01 09:30:00,000 worker 0 WARNING it is slow\n"
        "2027-03-01 09:30:01,000 worker 0 INFO ready\n"
        "2027-03-01 09:30:02,000 worker 0 WARNING it is slow\n"
    )
    assert warnings_in(log) == ["codes are verified in pure Python", "it is slow"]


@given(st.integers(0, SERIAL_MAX), st.integers(0, 14), st.integers(0, 7))
def test_the_peers_code_check_agrees_with_the_format(serial: int, byte: int, bit: int) -> None:
    brand = BRAND
    [key] = brand.keyring.keys
    keys = derive(key.master)
    codes = Codes(brand.kid, keys.tag, keys.mask, LOT, SERIAL_MAX + 1)
    text = brand.code(LOT, serial)
    assert (
        codes.serial_of(text) == codes.serial_of(text.lower().replace("0", "O").replace("1", "l")) == serial
    )
    assert codes.serial_of(brand.forged(LOT, serial)) is None
    raw = bytearray(brand.table.seal(brand.kid, LOT, serial))
    raw[byte] ^= 1 << bit
    turned = int.from_bytes(raw, "big")
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert codes.serial_of("".join(digits[turned >> 5 * n & 31] for n in reversed(range(24)))) is None
    assert Codes(brand.kid, keys.tag, keys.mask, LOT, serial).serial_of(text) is None  # beyond the lot
    assert Codes(brand.kid, keys.tag, keys.mask, LOT + 1, serial + 1).serial_of(text) is None


BRAND = Brand(0x7FFFFFFF)


def test_a_scan_is_a_whole_request_of_one_of_the_members() -> None:
    requests = BRAND.scans(LOT, range(MEMBERS + 1))
    assert len(set(requests)) == len(requests)
    head, _, body = requests[5].partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"POST /v1/scans HTTP/1.1\r\n")
    assert int(headers[b"Content-Length"]) == len(body)
    assert headers[b"Authorization"].decode() == f"Bearer {BRAND.tokens[5]}"
    assert json.loads(body) == {"code": BRAND.code(LOT, 5), "channel": "weixin-mini-program"}


def test_every_peer_is_given_the_same_pools() -> None:
    file = parse(CAMPAIGN_TOML)
    assert [pool.draw for pool in file.pool] == ["every", "deck"]
    assert full_pools() == {pool.id: {prize.id: prize.stock for prize in pool.prize} for pool in file.pool}
    facts = BRAND.facts(Path("store.sock"), LOT, 9)
    awards = {prize: award for pool in facts["pools"] for prize, award in pool["awards"].items()}
    assert awards["thanks"] is None
    assert awards["cash-small"] == {
        "pool": "lucky", "prize": "cash-small", "kind": "cash", "amount": 88, "currency": "CNY",
        "beneficiary": "member",
    }  # fmt: skip


def test_the_packages_of_node_are_locked_and_come_from_the_public_registry() -> None:
    package = json.loads((SOURCE / "package.json").read_text())
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    entries = {name: entry for name, entry in lock["packages"].items() if name}
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    for name, version in package["dependencies"].items():
        assert entries[f"node_modules/{name}"]["version"] == version, "pinned to a version, not to a range"
    assert all(entry["resolved"].startswith("https://registry.npmjs.org/") for entry in entries.values())
    assert all(entry["integrity"].startswith("sha512-") for entry in entries.values())
