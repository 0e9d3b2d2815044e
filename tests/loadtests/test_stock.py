"""What a run works with: codes handed out once, members that take turns, requests shared among processes."""

import resource
from pathlib import Path

import orjson
import pytest

from loadtests.errors import LoadTestError
from loadtests.generator.scans import scan_requests
from loadtests.generator.share import allow_connections
from loadtests.lines import read_lines
from loadtests.people.plan import Plan
from loadtests.people.stock import OutOfCodesError, Stock


def stock_of(directory: Path, codes: str, tokens: str) -> Stock:
    (directory / "codes").write_text(codes)
    (directory / "tokens").write_text(tokens)
    files = [str(directory / name) for name in ("codes", "tokens", "accepted", "result")]
    return Stock(Plan("spike", 10.0, 20, *files))


def test_each_code_is_handed_out_once(tmp_path: Path) -> None:
    stock = stock_of(tmp_path, "A\n\nB\r\n C", "one")
    assert [stock.code() for _ in range(3)] == ["A", "B", "C"]
    assert not stock.ran_out
    with pytest.raises(OutOfCodesError):
        stock.code()
    assert (stock.codes_sent, stock.ran_out) == (3, True)
    stock.close()


def test_members_take_turns_and_a_rival_is_somebody_else(tmp_path: Path) -> None:
    stock = stock_of(tmp_path, "A", "one\ntwo\nthree\n")
    assert [stock.token() for _ in range(4)] == ["one", "two", "three", "one"]
    assert all(stock.another_token("two") != "two" for _ in range(5))
    stock.close()
    alone = stock_of(tmp_path, "A", "one")
    assert alone.another_token("one") == "one"
    alone.close()


def test_what_was_accepted_is_written_down(tmp_path: Path) -> None:
    stock = stock_of(tmp_path, "A", "one")
    for scan_id in ("X", "Y"):
        stock.acknowledge(scan_id)
    for no in range(9):
        stock.is_wrong(str(no))
    stock.close()
    assert read_lines(tmp_path / "accepted", "scan_ids") == ["X", "Y"]
    assert (stock.wrong_count, stock.wrong) == (9, ["0", "1", "2", "3", "4"])


def test_processes_share_the_codes_and_leave_none_out() -> None:
    codes, tokens = [f"code {no}" for no in range(10)], ["one", "two", "three"]
    alone = list(scan_requests(codes, tokens))
    shares = [list(scan_requests(codes, tokens, start=no, step=3)) for no in range(3)]
    assert sorted(sum(shares, [])) == sorted(alone)  # noqa: RUF017 (three lists)
    for no, request in enumerate(alone):
        head, _, body = request.partition(b"\r\n\r\n")
        assert orjson.loads(body) == {"code": codes[no], "channel": "load"}
        assert f"Authorization: Bearer {tokens[no % 3]}".encode() in head.split(b"\r\n")
        assert head.endswith(b"Content-Length: %d" % len(body))


def test_a_code_may_be_any_carrier() -> None:
    [request] = scan_requests(['https://brand.example/c?c="A"'], ["one"])
    assert orjson.loads(request.partition(b"\r\n\r\n")[2])["code"] == 'https://brand.example/c?c="A"'


def test_too_few_open_files_are_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: raised.append(limits))
    allow_connections(10)
    assert raised == []
    allow_connections(900)
    assert raised == [(964, 1000)]
    with pytest.raises(LoadTestError, match="937 connections a process need 1,001 open files"):
        allow_connections(937)
