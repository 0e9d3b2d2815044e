"""Many members, one code, one instant: exactly one of them wins."""

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

from tests.brand import campaign_toml
from tests.phone import Reply, scan_request
from tests.running import running

CODES, MEMBERS, AT_ONCE = 1_000, 64, 4


async def test_a_thousand_codes_and_64_members_at_once_over_two_workers(tmp_path: Path) -> None:
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(CODES)
        codes = iter(run.brand.codes(lot, range(CODES)))
        tokens = [run.brand.token(f"member-{n}") for n in range(MEMBERS)]
        replies: dict[str, list[Reply]] = defaultdict(list)

        async def crowd() -> None:
            phones = [run.phone() for _ in tokens]
            for phone in phones:
                await phone.__aenter__()
            for code in codes:  # the crowds share the codes; a crowd scans one code all at once
                replies[code] = await asyncio.gather(
                    *(
                        phone.send(scan_request(token, code))
                        for phone, token in zip(phones, tokens, strict=True)
                    )
                )
            for phone in phones:
                await phone.__aexit__()

        await asyncio.gather(*(crowd() for _ in range(AT_ONCE)))

        outcomes = Counter(reply.outcome for answers in replies.values() for reply in answers)
        assert outcomes == {"accepted": CODES, "claimed": CODES * (MEMBERS - 1)}
        for answers in replies.values():
            [winner] = [reply for reply in answers if reply.status == 200]
            at = winner.data["scanned_at"]
            assert all(reply.data["first_scanned_at"] == at for reply in answers if reply.status == 409)
        workers = [row.get("claims") for row in run.supervisor.rows]
        assert all(workers), "one worker had no share in it"
        report = await run.brand.audit()
        assert (report.claims, report.differences) == (CODES, [])


LIMITED = """
[limits]
total = 20
[[pool]]
id = "few"
draw = "every"
limits = { total = 7 }
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "1.00"
stock = 1000
"""


async def test_limits_hold_for_a_member_who_scans_everything_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml(pools=LIMITED))
        lot = await run.brand.lot(100)
        tokens = [run.brand.token(f"member-{n}") for n in range(3)]
        # Three members, each with a hundred codes that all three want.
        requests = [
            scan_request(token, code) for code in run.brand.codes(lot, range(100)) for token in tokens
        ]
        replies = await run.scan_all(requests, connections=48)
        outcomes = Counter(reply.outcome for reply in replies)
        assert outcomes["accepted"] == 60
        assert outcomes.keys() <= {"accepted", "claimed", "limit_reached"}
        paid = Counter(
            place % 3 for place, reply in enumerate(replies) if reply.status == 200 and reply.data["awards"]
        )
        assert paid == {0: 7, 1: 7, 2: 7}
        assert all(row.get("claims") for row in run.supervisor.rows), "one worker had no share in it"
        assert (await run.brand.audit()).differences == []
