"""The picture: what one accepted scan costs, peer by peer, in CPU of the service and of its store."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from bench.compare.figures import Spread
from bench.compare.peers import PEERS

_WIDTH = 840
_LEFT, _BAR, _SAID = 190, 430, 210
_TOP, _ROW, _BAR_HEIGHT, _BOTTOM = 84, 44, 22, 54
# On white and on GitHub's dark ground every colour has a contrast of at least 3 to 1, text of 4.5 to 1.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.service { fill: #0550ae }
.store { fill: #bc4c00 }
.spread { stroke: #1f2328; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .service { fill: #58a6ff }
  .store { fill: #f0883e }
  .spread { stroke: #f0f6fc }
}
"""


def svg(medians: Mapping[str, Mapping[str, Spread]], conditions: Mapping[str, Any]) -> str:
    """An SVG document that fits itself to a light or a dark page."""
    most = max(figures["service_us"].most + _store(figures) for figures in medians.values())
    height = _TOP + _ROW * len(medians) + _BOTTOM
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_WIDTH} {height}", "role": "img",
            "width": str(_WIDTH), "height": str(height), "aria-labelledby": "title",
        },
    )  # fmt: skip
    ElementTree.SubElement(root, "title", id="title").text = _described(medians)
    ElementTree.SubElement(root, "style").text = _STYLE
    _text(root, 20, 30, "CPU of one accepted scan", "title")
    _legend(root)
    for row, (peer, figures) in enumerate(medians.items()):
        _row(root, _TOP + _ROW * row, PEERS[peer].title, figures, _BAR / most)
    for line, said in enumerate(_conditions(conditions)):
        _text(root, 20, height - 30 + 17 * line, said, "small")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _row(root: ElementTree.Element, y: int, title: str, figures: Mapping[str, Spread], scale: float) -> None:
    service, store = figures["service_us"], _store(figures)
    middle = y + _BAR_HEIGHT / 2
    _text(root, 20, middle + 4.5, title)
    _bar(root, _LEFT, y, service.median * scale, "service")
    _bar(root, _LEFT + service.median * scale, y, store * scale, "store")
    first, last = _LEFT + service.least * scale, _LEFT + service.most * scale
    path = f"M{first:.1f} {y + _BAR_HEIGHT + 3}v6m0 -3H{last:.1f}m0 -3v6"
    ElementTree.SubElement(root, "path", {"class": "spread", "d": path})
    said = f"{service.median:,.0f} µs" + (f" + {store:,.0f} µs" if store else "")
    end = max(last, _LEFT + (service.median + store) * scale)
    _text(root, end + 10, middle + 4.5, said)


def _legend(root: ElementTree.Element) -> None:
    for x, name, said in ((_LEFT, "service", "service"), (_LEFT + 90, "store", "store")):
        _bar(root, x, 48, 12, name, 12)
        _text(root, x + 18, 59, said, "small")
    path = f"M{_LEFT + 166} 51v6m0 -3h18m0 -3v6"
    ElementTree.SubElement(root, "path", {"class": "spread", "d": path})
    _text(root, _LEFT + 192, 59, "least to most of the service", "small")


def _bar(
    root: ElementTree.Element, x: float, y: float, width: float, name: str, height: int = _BAR_HEIGHT
) -> None:
    place = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{width:.2f}", "height": str(height)}
    ElementTree.SubElement(root, "rect", {"class": name, **place})


def _text(root: ElementTree.Element, x: float, y: float, said: str, name: str = "") -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", **({"class": name} if name else {})}
    ElementTree.SubElement(root, "text", attributes).text = said


def _store(figures: Mapping[str, Spread]) -> float:
    return figures["store_us"].median if "store_us" in figures else 0.0


def _described(medians: Mapping[str, Mapping[str, Spread]]) -> str:
    said = (
        f"{PEERS[peer].title} {figures['service_us'].median:,.0f} µs and {_store(figures):,.0f} µs"
        for peer, figures in medians.items()
    )
    return "CPU of one accepted scan, of the service and of its store: " + "; ".join(said)


def _conditions(conditions: Mapping[str, Any]) -> tuple[str, str]:
    return (
        f"Medians, {conditions['connections']} connections, closed loop, fsync before each answer; "
        "the empty handler does none of the work.",
        f"{conditions['cpu']}; {conditions['pinned']}; rounds: {conditions['rounds']}.",
    )


assert _LEFT + _BAR + _SAID <= _WIDTH
