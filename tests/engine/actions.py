"""What is done in a play of the prize engine, each written with what differs from the usual."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

PRODUCTS = ("06901234567892", "06901234522228")
MEMBERS = ("ann", "bob", "cat", "dan")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Person(NamedTuple):
    """What a token and a request say beside the member's id."""

    role: str = ""
    tier: str = ""
    seller: str = ""
    inviter: str = ""
    channel: str = ""
    loc: str = ""
    trace: str = ""


PERSONS = {
    "plain": Person(),
    "worker": Person("worker"),
    "gold": Person("worker", "gold", channel="app"),
    "customer": Person("customer", seller="s1", inviter="ann"),
    "invited": Person(inviter="i1", channel="app", loc='{"lat":31.23,"lng":121.47}'),
    "traced": Person("worker", "silver", "s2", "i2", "web", trace=TRACE),
}


@dataclass(frozen=True, repr=False)
class Action:
    def __repr__(self) -> str:
        usual = {name: field.default for name, field in self.__dataclass_fields__.items()}
        said = (f"{name}={value!r}" for name, value in vars(self).items() if value != usual[name])
        return f"{type(self).__name__}({', '.join(said)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Scan(Action):
    lot: int
    serial: int
    member: str
    person: str = "plain"
    pin: str = "right"  # | wrong | none


@dataclass(frozen=True, repr=False)
class Draw(Action):
    campaign: str
    pool: str
    member: str
    request: str
    person: str = "plain"
    paid: str = ""  # price | wrong
    by: str = ""  # a service; "": the member

    def under(self, request: str) -> "Draw":
        return replace(self, request=request)


@dataclass(frozen=True, repr=False)
class Grant(Action):
    campaign: str
    pool: str
    member: str
    request: str

    def under(self, request: str) -> "Grant":
        return replace(self, request=request)


@dataclass(frozen=True, repr=False)
class Friend(Action):
    share: int  # of those that were opened, the newest is 0
    member: str
    person: str = "plain"


@dataclass(frozen=True, repr=False)
class Expire(Action):
    """One packet, whether it is its time or not."""

    packet: int  # of those that were granted, the newest is 0


@dataclass(frozen=True, repr=False)
class Until(Action):
    """The time goes on to the next such moment, or a ms less or more; then there are claims."""

    edge: str  # day | window | packet | share | wait | start | end
    campaign: str
    off: int
    then: tuple[Action, ...] = ()


@dataclass(frozen=True, repr=False)
class Operation(Action):
    """Something done by hand; whether the worker looks at the store then; a claim that follows; and whether
    what was paused is resumed after it."""

    what: tuple[Any, ...]
    request: str = ""
    look: bool = False
    then: Action | None = None
    resume: bool = False
