"""Answers, as the callers judge them."""

import orjson
import pytest

from loadtests.answers import fault_of_rivals, is_same, told, told_at_a_glance


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b'{"outcome":"accepted","scan_id":"A","replayed":false}', "accepted"),
        (200, b'{"outcome":"accepted","scan_id":"A","replayed":true}', "replayed"),
        (200, b'{"outcome":"accepted","replayed":true}', "status 200"),
        (409, b'{"outcome":"claimed","status":409}', "claimed"),
        (503, b'{"outcome":"unavailable","status":503}', "unavailable"),
        (500, b'{"outcome":"claimed","status":409}', "status 500"),
        (200, b'{"outcome":"accepted"}', "status 200"),
        (200, b"[]", "status 200"),
        (502, b"<html>", "status 502"),
    ],
)
def test_an_answer_is_read_by_the_contract(status: int, body: bytes, outcome: str) -> None:
    assert told(status, body).outcome == outcome
    assert told_at_a_glance(status, body) == told(status, body)


def test_a_glance_sees_what_a_look_does() -> None:
    body = b'{"outcome":"accepted","scan_id":"BAZG3BHD70BCAKAP","replayed":false,"campaign":"demo"}'
    spaced = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    for spelling in (body, body.replace(b"false", b"true"), body.replace(b'":"', b'": "'), spaced):
        for status in (200, 409, 500):
            assert told_at_a_glance(status, spelling) == told(status, spelling)
    assert told_at_a_glance(200, body) == ("accepted", "BAZG3BHD70BCAKAP")


def test_a_repeat_is_the_same_but_for_replayed() -> None:
    first = b'{"replayed":false,"awards":[1]}'
    assert is_same(first, b'{"replayed":true,"awards":[1]}')
    assert is_same(b'{"replayed":true,"awards":[1]}', b'{"replayed":true,"awards":[1]}')
    assert not is_same(first, b'{"replayed":true,"awards":[2]}')


WON = b'{"outcome":"accepted","replayed":false,"scanned_at":"2027-03-01T09:30:00.123Z"}'
TOLD = b'{"outcome":"claimed","status":409,"first_scanned_at":"2027-03-01T09:30:00.123Z"}'


def test_of_two_members_one_wins_and_the_other_is_told_when() -> None:
    assert fault_of_rivals([("accepted", WON), ("claimed", TOLD)]) == ""
    assert fault_of_rivals([("claimed", TOLD), ("replayed", WON)]) == ""
    assert "2 of 2 members won" in fault_of_rivals([("accepted", WON)] * 2)
    assert "0 of 2 members won" in fault_of_rivals([("claimed", TOLD)] * 2)
    assert "were told" in fault_of_rivals([("accepted", WON), ("claimed", TOLD.replace(b"123", b"124"))])
    assert "were told" in fault_of_rivals([("accepted", WON), ("claimed", b'{"outcome":"claimed"}')])
