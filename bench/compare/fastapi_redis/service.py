"""The job on FastAPI and redis-py, the way most people write it, and as their documentation recommends it:
a pydantic model for the body and one for the answer, a dependency for the token, redis.asyncio with its pool
and a registered script, uvicorn with uvloop and httptools.

    python service.py FACTS.json

FACTS.json is what bench/compare/brand.py writes. Prints its address; it answers a moment later.
"""

import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import jwt
import uvicorn
from codes import Codes
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from redis.asyncio import Redis

FACTS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
KEY, LOT, CAMPAIGN, POOLS = FACTS["key"], FACTS["lot"], FACTS["campaign"], FACTS["pools"]
TOKEN_KEY = bytes.fromhex(FACTS["token_key"])
CODES = Codes(KEY["kid"], bytes.fromhex(KEY["tag"]), bytes.fromhex(KEY["mask"]), LOT["no"], LOT["size"])
POOL_KEYS = [pool["key"] for pool in POOLS]

redis = Redis(unix_socket_path=FACTS["store"], decode_responses=True)
draw = redis.register_script(Path(__file__).with_name("draw.lua").read_text())
bearer = HTTPBearer(auto_error=False)


class Location(BaseModel):
    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)


class Scan(BaseModel):
    code: str = Field(pattern=r"^[0-9A-TV-Za-tv-z]{24}$")
    pin: str | None = Field(None, pattern=r"^[0-9]{6}$")
    channel: str = Field("", pattern=r"^[a-z0-9-]{0,32}$")
    location: Location | None = None


class Award(BaseModel):
    pool: str
    prize: str
    kind: str
    amount: int
    currency: str | None = None
    beneficiary: str


class Accepted(BaseModel):
    outcome: str = "accepted"
    scan_id: str
    replayed: bool
    campaign: str
    product: str
    scanned_at: datetime
    awards: list[Award]


class RefusedError(Exception):
    def __init__(self, status: int, outcome: str, title: str, **more: str) -> None:
        self.status = status
        self.content = {
            "type": f"urn:scanner:{outcome}", "title": title, "status": status, "outcome": outcome, **more
        }  # fmt: skip


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(RefusedError)
async def refused(request: Request, error: RefusedError) -> JSONResponse:
    return JSONResponse(error.content, error.status, media_type="application/problem+json")


async def current_member(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> str:
    try:
        if credentials is None:
            raise jwt.InvalidTokenError
        claims = jwt.decode(
            credentials.credentials, TOKEN_KEY, algorithms=["HS256"], audience=FACTS["audience"]
        )
        return str(claims["sub"])
    except (jwt.InvalidTokenError, KeyError):
        raise RefusedError(401, "unauthorized", "The token is missing, expired or wrong") from None


@app.post("/v1/scans", response_model_exclude_none=True)
async def scan(body: Scan, member: Annotated[str, Depends(current_member)]) -> Accepted:
    serial = CODES.serial_of(body.code)
    if serial is None:
        raise RefusedError(404, "unknown_code", "This is no code of ours")
    claim = f"claim:{LOT['no']}:{serial}"
    now = datetime.now(UTC)
    is_first = await redis.set(claim, json.dumps({"member": member, "at": now.isoformat()}), nx=True)
    if not is_first:
        return repeated(json.loads(await redis.get(claim)), body.code, member)
    won = await draw(keys=POOL_KEYS, args=[random.getrandbits(48) for _ in POOL_KEYS])
    record = {"member": member, "at": now.isoformat(), "won": won}
    event = {
        "at": int(now.timestamp() * 1000), "id": body.code, "campaign": CAMPAIGN["id"], "member": member,
        "channel": body.channel, "product": LOT["product"], "lot": LOT["no"], "serial": serial,
        "awards": json.dumps(won),
    }  # fmt: skip
    async with redis.pipeline(transaction=True) as pipe:
        pipe.set(claim, json.dumps(record))
        pipe.xadd(FACTS["events"], event)
        await pipe.execute()
    return accepted(record, body.code, replayed=False)


def repeated(first: dict[str, Any], code: str, member: str) -> Accepted:
    if first["member"] != member:
        raise RefusedError(409, "claimed", "Somebody else was first", first_scanned_at=first["at"])
    if "won" not in first:  # the first request is still under way
        raise RefusedError(503, "unavailable", "Not done yet; try again")
    return accepted(first, code, replayed=True)


def accepted(record: dict[str, Any], code: str, *, replayed: bool) -> Accepted:
    awards = [pool["awards"].get(prize) for pool, prize in zip(POOLS, record["won"], strict=True)]
    return Accepted(
        scan_id=code,
        replayed=replayed,
        campaign=CAMPAIGN["id"],
        product=LOT["product"],
        scanned_at=record["at"],
        awards=[award for award in awards if award],
    )


def main() -> None:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
    listening = config.bind_socket()
    print("http://{}:{}".format(*listening.getsockname()), flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
