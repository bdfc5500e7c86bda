"""The recovery time of each fault, as an SVG for light and dark pages."""

import math
from collections import defaultdict
from collections.abc import Sequence
from html import escape

from tests.faults.fault_injection import AIM_SECONDS, CONVERGE_SECONDS, Hit

_ROW, _TOP, _LEFT, _WIDTH, _RIGHT = 22, 64, 290, 470, 24
_FIRST, _LAST = 0.01, 100.0  # seconds, at the ends of the axis
_TICKS = (0.01, 0.1, 1.0, 10.0, AIM_SECONDS, CONVERGE_SECONDS)
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { font-size: 11px; fill: #59636e }
  .grid { stroke: #d1d9e0 } .aim { stroke: #1f2328; stroke-width: 2 }
  .hit { fill: #0969da; fill-opacity: .55 } .late { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
    .aim { stroke: #e6edf3 } .hit { fill: #4493f8 } .late { fill: #f85149 }
  }
"""


def svg(hits: Sequence[Hit]) -> str:
    """A row for each moment, a dot for each hit; a hit that never recovered is at the right end."""
    rows: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        rows[hit.planned.moment.name].append(hit)
    height = _TOP + _ROW * len(rows) + 12
    width = _LEFT + _WIDTH + _RIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            "<title>Time to converge, by moment</title>",
            f"<style>{_STYLE}</style>",
            '<text class="title" x="12" y="24">Seconds from the end of a fault until all is '
            "done</text>",
            *(_tick(seconds, height) for seconds in _TICKS),
            *(_row(number, *row) for number, row in enumerate(sorted(rows.items()))),
            "</svg>",
            "",
        ]
    )


def _tick(seconds: float, height: int) -> str:
    x, aim = _x(seconds), seconds == AIM_SECONDS
    name = f"{seconds:g}{' aim' if aim else ''}"
    return (
        f'<text class="small" x="{x:.0f}" y="{_TOP - 12}" text-anchor="middle">{name}</text>'
        f'<line class="{"aim" if aim else "grid"}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" '
        f'y2="{height - 8}"/>'
    )


def _row(number: int, name: str, hits: Sequence[Hit]) -> str:
    y = _TOP + number * _ROW + 12
    dots = [
        f'<circle class="{"late" if _seconds(hit) > AIM_SECONDS else "hit"}" '
        f'cx="{_x(_seconds(hit)):.1f}" cy="{y - 4}" r="4">'
        f"<title>{escape(hit.planned.fault.name)}: {_seconds(hit):.2f}</title></circle>"
        for hit in hits
    ]
    label = f'<text x="{_LEFT - 12}" y="{y}" text-anchor="end">{escape(name)}</text>'
    return "\n".join([label, *dots])


def _seconds(hit: Hit) -> float:
    return _LAST if hit.converged_after is None else hit.converged_after


def _x(seconds: float) -> float:
    """Logarithmic, since most hits recover at once and the slow ones matter."""
    bounded = min(max(seconds, _FIRST), _LAST)
    return _LEFT + _WIDTH * math.log(bounded / _FIRST) / math.log(_LAST / _FIRST)
