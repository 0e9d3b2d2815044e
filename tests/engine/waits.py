"""Wrong PINs, as functions/tries.lua has them: how many are free, and how long one waits."""

from collections.abc import Iterator

FREE_OF_CODE, FREE_OF_MEMBER = 3, 6
FIRST_MS, MOST_OF_CODE_MS, MOST_OF_MEMBER_MS = 10_000, 300_000, 3_600_000
FORGOTTEN_AFTER_MS = 86_400_000


class Waits:
    """Tries by whose they are: a code's (lot, serial), or a member's id."""

    def __init__(self) -> None:
        self._tries: dict[object, tuple[int, int, int]] = {}  # how many, wait until, last

    def until(self, *whose: object) -> int:
        return max(self._tries.get(one, (0, 0, 0))[1] for one in whose)

    def wrong(self, code: object, member: str, now: int) -> None:
        for one, free, most_ms in (
            (code, FREE_OF_CODE, MOST_OF_CODE_MS),
            (member, FREE_OF_MEMBER, MOST_OF_MEMBER_MS),
        ):
            count, until, _ = self._tries.get(one, (0, 0, 0))
            count += 1
            if count >= free:
                until = now + min(FIRST_MS * 2 ** (count - free), most_ms)
            self._tries[one] = (count, until, now)

    def forgive(self, member: str, now: int) -> None:
        """One wrong one of the member's, for a right one."""
        count, until, _ = self._tries.get(member, (0, 0, 0))
        if count:
            self._tries[member] = (count - 1, until, now)

    def all(self) -> list[int]:
        return [until for _, until, _ in self._tries.values()]

    def forget(self, now: int) -> Iterator[object]:
        """Whose are forgotten by now."""
        over = [one for one, (_, _, last) in self._tries.items() if now > last + FORGOTTEN_AFTER_MS]
        for one in over:
            del self._tries[one]
        yield from over
