"""Which core does what: the service has the first one for itself, store and client share the second."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Cores(NamedTuple):
    """Numbers of cores; None where nothing can be pinned."""

    service: int | None
    others: int | None

    @property
    def said(self) -> str:
        if self.service is None or self.others is None:
            return "not pinned: this system cannot"
        if self.service == self.others:
            return "not pinned apart: there is only one core, service, store and client share it"
        return f"service on core {self.service}, store and client on core {self.others}"


def usable_cores() -> Cores:
    """The first two that this process may use; the same one twice where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[min(1, len(usable) - 1)])


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Pins this thread, and with it every process that is started inside the block, for good."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
