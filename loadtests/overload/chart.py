"""The picture: what is accepted, and how long that takes, over what is offered."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from loadtests.overload.conduct import BASE_LOAD, Plan, Round
from loadtests.overload.gates import Gates
from loadtests.overload.medians import over_rounds, times_base

_WIDTH, _HEIGHT = 840, 372
_TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 92, 330, 196
# On white and on GitHub's dark ground every colour has a contrast of at least 3 to 1, text of 4.5 to 1.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.bound { stroke: #59636e; stroke-width: 1.2; stroke-dasharray: 5 4 }
.line { fill: none; stroke-width: 2.2 }
.one { stroke: #0550ae; fill: #0550ae }
.two { stroke: #bc4c00; fill: #bc4c00 }
.line.one, .line.two { fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .bound { stroke: #9198a1 }
  .one { stroke: #58a6ff; fill: #58a6ff }
  .two { stroke: #f0883e; fill: #f0883e }
}
"""
_CLASSES = ("one", "two")


class _Plot(NamedTuple):
    """A plot's left edge, and its scales: what is offered is logarithmic, ``low`` to ``high`` may be."""

    left: float
    first: float
    last: float
    low: float
    high: float
    is_log: bool

    def x(self, times: float) -> float:
        share = math.log(times / self.first) / math.log(self.last / self.first)
        return self.left + 12 + share * (_PLOT_WIDTH - 24)

    def y(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return _TOP + _PLOT_HEIGHT * (1 - share)


def svg(plan: Plan, found: Mapping[str, Sequence[Round]], gates: Gates) -> str:
    """An SVG document that fits itself to a light or a dark page; of two variants at most."""
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img",
            "width": str(_WIDTH), "height": str(_HEIGHT), "aria-labelledby": "title",
        },
    )  # fmt: skip
    ElementTree.SubElement(root, "title", id="title").text = _described(found)
    ElementTree.SubElement(root, "style").text = _STYLE
    _text(root, 20, 28, "Offered more than it can serve", "title")
    for at, name in enumerate(found):
        x = 20 + 300 * at
        _line(root, [(x, 52), (x + 22, 52)], at)
        _text(root, x + 30, 56.5, name)
    first, last = plan.times[0], plan.times[-1]
    left = _Plot(62, first, last, 0.0, 1.1, is_log=False)
    most = max((step.accepted_p99_ms for one in found.values() for step in over_rounds(one)), default=1)
    top_ms = 10 ** math.ceil(math.log10(max(most, 100) * 1.01)) if math.isfinite(most) else 10_000
    right = _Plot(482, first, last, 10.0, top_ms, is_log=True)
    shares = [(0.2 * n, f"{20 * n} %") for n in range(6)]
    decades = [(10.0**n, _duration(10.0**n)) for n in range(1, round(math.log10(top_ms)) + 1)]
    _frame(root, left, "accepted a second, of the peak", shares, plan.times)
    _frame(root, right, "p99 of what was accepted", decades, plan.times)
    _bound(root, left, gates.goodput_share, f"at least {gates.goodput_share * 100:.0f} %", left.left, "start")
    for at, rounds in reversed(list(enumerate(found.values()))):
        steps = over_rounds(rounds)
        if at == 0:
            base_ms = {step.times: step.accepted_p99_ms for step in steps}[BASE_LOAD]
            bound_ms = gates.p99_times * base_ms
            said = f"at most {gates.p99_times:g} × that at {BASE_LOAD:g}"
            _bound(root, right, bound_ms, said, right.left + _PLOT_WIDTH, "end")
        _curve(root, left, {step.times: step.goodput_of_peak for step in steps}, at)
        _curve(root, right, {step.times: step.accepted_p99_ms for step in steps}, at)
    _text(root, 20, _HEIGHT - 22, _conditions(plan, found), "small")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _frame(
    root: ElementTree.Element,
    plot: _Plot,
    title: str,
    ticks: Sequence[tuple[float, str]],
    times: Sequence[float],
) -> None:
    _text(root, plot.left, _TOP - 12, title, "small")
    for value, said in ticks:
        y = plot.y(value)
        _path(root, f"M{plot.left} {y:.1f}h{_PLOT_WIDTH}", "grid")
        _text(root, plot.left - 8, y + 4, said, "small", "end")
    for one in times:
        _text(root, plot.x(one), _TOP + _PLOT_HEIGHT + 18, f"{one:g}×", "small", "middle")
    middle = plot.left + _PLOT_WIDTH / 2
    _text(root, middle, _TOP + _PLOT_HEIGHT + 38, "offered a second, of the peak", "small", "middle")


def _bound(root: ElementTree.Element, plot: _Plot, value: float, said: str, x: float, anchor: str) -> None:
    y = plot.y(value)
    _path(root, f"M{plot.left} {y:.1f}h{_PLOT_WIDTH}", "bound")
    _text(root, x, y - 6, said, "small", anchor)


def _curve(root: ElementTree.Element, plot: _Plot, values: Mapping[float, float], at: int) -> None:
    there = [(plot.x(times), plot.y(value)) for times, value in values.items() if math.isfinite(value)]
    _line(root, there, at)
    for x, y in there:
        place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3.6"}
        ElementTree.SubElement(root, "circle", {"class": _CLASSES[at], **place})


def _line(root: ElementTree.Element, points: Sequence[tuple[float, float]], at: int) -> None:
    if points:
        _path(root, "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), f"line {_CLASSES[at]}")


def _path(root: ElementTree.Element, d: str, name: str) -> None:
    ElementTree.SubElement(root, "path", {"class": name, "d": d})


def _text(
    root: ElementTree.Element, x: float, y: float, said: str, name: str = "", anchor: str = "start"
) -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    if name:
        attributes["class"] = name
    ElementTree.SubElement(root, "text", attributes).text = said


def _duration(ms: float) -> str:
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"


def _described(found: Mapping[str, Sequence[Round]]) -> str:
    said = []
    for name, rounds in found.items():
        last = over_rounds(rounds)[-1]
        times = times_base(rounds, "accepted_p99_ms")[last.times]
        said.append(
            f"{name}: at {last.times:g} times the peak {last.goodput_of_peak:.0%} of it are "
            f"accepted, with a p99 of {times:.1f} times that at {BASE_LOAD:g}"
        )
    return "Accepted scans a second and their p99 over what is offered. " + "; ".join(said)


def _conditions(plan: Plan, found: Mapping[str, Sequence[Round]]) -> str:
    [rounds, *_] = found.values()
    peak = sorted(one.peak_per_s for one in rounds)[len(rounds) // 2]
    store = f"a store that takes {plan.hold_s * 1e3:g} ms for {plan.batch_max} scans; " if plan.hold_s else ""
    many = "medians of " + f"{len(rounds)} rounds" if len(rounds) > 1 else "one round"
    return (
        f"Open loop, {plan.load.connections:,} connections, callers give up after {plan.load.timeout_s:g} s; "
        f"{store}peak {peak:,.0f} scans/s; {many}."
    )


assert 482 + _PLOT_WIDTH < _WIDTH
