"""Request bodies: what is taken, and that everything else is refused in one way, by the field's name."""

import json
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.service.requests import Location, MalformedError, ScanRequest, parse

WHOLE = {
    "code": "2W4WWNA7XW7FAJKB9WWYZFR7",
    "pin": "041337",
    "channel": "weixin-mini-program",
    "location": {"lat": 31.23, "lng": 121.47},
}
DEEP = 100_000
parse_scan = partial(parse, ScanRequest)


def body(**members):
    return json.dumps({**WHOLE, **members}).encode()


def refusal(data):
    with pytest.raises(MalformedError) as caught:
        parse_scan(data)
    assert caught.value.__suppress_context__  # pydantic's own words quote the input
    return str(caught.value)


def test_the_contracts_example():
    assert parse_scan(body()) == ScanRequest(
        code="2W4WWNA7XW7FAJKB9WWYZFR7",
        pin="041337",
        channel="weixin-mini-program",
        location=Location(lat=31.23, lng=121.47),
    )


def test_a_code_is_enough():
    assert parse_scan(b'{"code": "x"}') == ScanRequest(code="x")
    assert parse_scan(b'{"code": "x", "pin": null, "channel": null, "location": null}') == ScanRequest(
        code="x"
    )


@pytest.mark.parametrize("data", [b"{}", b'{"pin": "041337"}', b'{"Code": "x"}', b'{"codes": ["x"]}'])
def test_the_code_is_required(data):
    assert refusal(data) == "code: Field required"


@pytest.mark.parametrize("missing", ["lat", "lng"])
def test_a_location_has_both_its_members(missing):
    location = {name: value for name, value in WHOLE["location"].items() if name != missing}
    assert refusal(body(location=location)) == f"location.{missing}: Field required"


@pytest.mark.parametrize("field", ["code", "pin", "channel"])
@pytest.mark.parametrize("value", [7, 1.5, True, [], ["x"], {}, {"code": "x"}])
def test_texts_are_texts(field, value):
    assert refusal(body(**{field: value})) == f"{field}: Input should be a valid string"


def test_a_code_is_no_null():
    assert refusal(body(code=None)).startswith("code: ")


@pytest.mark.parametrize("value", [7, "31.23,121.47", True, [], [31.23, 121.47]])
def test_a_location_is_an_object(value):
    assert refusal(body(location=value)).startswith("location: ")


@pytest.mark.parametrize("field", ["lat", "lng"])
@pytest.mark.parametrize("value", ["31.23", None, True, [], {}])
def test_degrees_are_numbers(field, value):
    assert refusal(body(location=WHOLE["location"] | {field: value})).startswith(f"location.{field}: ")


@pytest.mark.parametrize(("field", "most"), [("lat", 90), ("lng", 180)])
def test_degrees_are_on_the_globe(field, most):
    for good in (-most, 0, 0.5, most):
        location = parse_scan(body(location=WHOLE["location"] | {field: good})).location
        assert getattr(location, field) == good
    for bad in (-most - 1e-9, most + 1e-9, 1e300):
        assert refusal(body(location=WHOLE["location"] | {field: bad})).startswith(f"location.{field}: ")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_degrees_are_finite(number):
    data = b'{"code": "x", "location": {"lat": ' + number + b', "lng": 0}}'
    assert "not JSON" in refusal(data)


def test_a_code_has_1_to_512_characters():
    assert len(parse_scan(body(code="李" * 512)).code) == 512
    for wrong in ("", "x" * 513):
        assert refusal(body(code=wrong)).startswith("code: ")


@pytest.mark.parametrize("pin", ["", "12345", "1234567", "12345a", " 12345", "123456\n", "١٢٣٤٥٦", "1234-6"])
def test_a_pin_has_6_digits(pin):
    assert refusal(body(pin=pin)).startswith("pin: ")


@pytest.mark.parametrize("channel", ["", "x" * 33, "Weixin", "a_b", "a b", "a\n", "a/b", "é"])
def test_a_channel_is_a_short_plain_name(channel):
    assert refusal(body(channel=channel)).startswith("channel: ")
    assert parse_scan(body(channel="x" * 32)).channel == "x" * 32


def test_members_of_later_versions_are_left_alone():
    more = {"device": {"os": ["x", 1, None, True, 1.5]}, "pin_": 7, "": "", "awards": []}
    assert parse_scan(body(**more)) == parse_scan(body())


def test_of_a_member_given_twice_the_last_counts():
    assert parse_scan(b'{"code": "x", "code": "y"}').code == "y"
    assert refusal(b'{"code": "x", "code": 7}').startswith("code: ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b'[{"code": "x"}]',
        b'{"code": "x"',
        b'{"code": "x"} {}',
        b'{"code": "x",}',
        b"{'code': 'x'}",
        b'{"code": "x\n"}',
        b'{"code": "\xff"}',
        b'{"code": "x", "more": "\xc3\x28"}',
        b'{"code": "\xed\xa0\x80"}',
        b'{"code": "\\ud800"}',
        b'{"code": "\\udc00\\ud800"}',
        b'{"code": "\\x41"}',
        b'\xef\xbb\xbf{"code": "x"}',
        json.dumps(WHOLE).encode("utf-16"),
        b"code=x",
        b"\0",
        b'{"code": "x", "more": nope}',
        b"[" * DEEP,
        b'{"more":' * DEEP,
        b'{"code": "x", "more": ' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"code": ' + b'{"code": ' * DEEP + b'"x"' + b"}" * DEEP + b"}",
        b'{"code": ' + b"9" * DEEP + b"}",
        b'{"code": "x", "more": ' + b"9" * DEEP + b"}",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_is_no_json_object_is_refused(data):
    reason = refusal(data)
    assert 0 < len(reason) < 200  # it names the place, and does not repeat the body


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_json_does_not_have_is_refused_in_later_members_too(number):
    assert refusal(b'{"code": "x", "more": ' + number + b"}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | JSON for name, value in WHOLE.items()} | {"more": JSON}
)


@given(
    st.binary(max_size=300) | JSON.map(json.dumps).map(str.encode) | NEARLY.map(json.dumps).map(str.encode)
)
@example(b'{"code": "x", "location": {"lat": 1' + b"0" * 400 + b', "lng": 0}}')
@example(b'{"code": "x", "location": {"lat": 1e-999, "lng": -0.0}}')
def test_any_bytes_are_a_request_or_malformed(data):
    try:
        request = parse_scan(data)
    except MalformedError:
        return
    assert 1 <= len(request.code) <= 512
    request.code.encode()  # no lone surrogates: what was taken can be sent on
    assert parse_scan(request.model_dump_json().encode()) == request
