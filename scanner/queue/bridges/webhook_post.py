"""One POST to a webhook's receiver, and what its answer says. Of an answer only the status counts."""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from scanner import __version__
from scanner.errors import ConfigurationError
from scanner.queue.bridges.bridge import TargetRefusedError
from scanner.queue.bridges.webhook_failures import RETRY_AFTER_S_MAX, Failure

TIMEOUT_S = 15.0
# The rest of an answer is read so that the connection can be used again: so far, and for so long.
ANSWER_BYTES_MAX = 64 << 10
ANSWER_S = 1.0


def check_url(url: str, *, allow_http: bool = False) -> str:
    """The URL, if events may be sent there.

    Raises:
        ConfigurationError: it is none, holds a password, or is not encrypted.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("the webhook's URL: expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("the webhook's URL must not hold a user or a password: webhooks are signed")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigurationError(
            "the webhook's URL must be https: events say who won what; --allow-http sends them in the clear"
        )
    return url


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


class Endpoint:
    """Where POSTs go, over at most so many connections. ``gone`` is why no more are wanted there."""

    def __init__(
        self,
        url: str,
        *,
        posts: int,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._posts = posts
        self._timeout_s = timeout_s
        self._tls = tls
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self.gone: TargetRefusedError | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, body: bytes, headers: dict[str, str]) -> Failure | None:
        """None where it was taken. Redirects are not followed."""
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                failure = self._meaning(response)
                await _read_away(response)
                return failure
        except TimeoutError:
            return Failure(f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorError as error:
            why = getattr(error, "os_error", error)  # of a wrong certificate there is none
            return Failure(f"cannot connect: {getattr(why, 'strerror', None) or why}", is_load=True)
        except (aiohttp.ClientError, OSError) as error:
            return Failure(f"the connection broke: {type(error).__name__}")
        except Exception as error:  # an endpoint's oddity is no reason to lose count of its failures
            return Failure(f"the POST failed: {type(error).__name__}")

    def _meaning(self, response: aiohttp.ClientResponse) -> Failure | None:
        status = response.status
        if 200 <= status < 300:
            return None
        if status == 410 and self.gone is None:
            self.gone = TargetRefusedError("the receiver answers 410 Gone: it wants no webhooks any more")
        after_s = _retry_after(response.headers.get("Retry-After", ""), self._clock())
        return Failure(f"the receiver answers {status}", is_load=status in (429, 503), retry_after_s=after_s)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._posts, ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"scanner/{__version__}"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _read_away(response: aiohttp.ClientResponse) -> None:
    left = ANSWER_BYTES_MAX
    try:
        async with asyncio.timeout(ANSWER_S):
            while left > 0 and (piece := await response.content.read(left)):
                left -= len(piece)
    except (TimeoutError, aiohttp.ClientError, OSError):
        left = 0
    if left <= 0:
        response.close()


def _retry_after(text: str, now: float) -> float:
    """Seconds or a date, as HTTP has it; 0 where it is neither."""
    wait_s = 0.0
    if text.isascii() and text.isdecimal():
        wait_s = float(text[:9])
    else:
        with suppress(Exception):  # the parser of dates raises whatever a stranger's text brings about
            wait_s = parsedate_to_datetime(text).timestamp() - now
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
