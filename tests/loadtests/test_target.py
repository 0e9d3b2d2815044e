"""Addresses, as a command is given them."""

import pytest

from loadtests.errors import LoadTestError
from loadtests.generator.target import parse_address


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:0", "h:70000", "http://h:80/v1", ""]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LoadTestError, match="expected host:port"):
        parse_address(text)


def test_an_address_may_be_written_as_a_url() -> None:
    assert parse_address("http://127.0.0.1:8080/") == ("127.0.0.1", 8080)
    assert parse_address("[::1]:80") == ("::1", 80)
