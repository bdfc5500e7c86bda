"""The ratios as a picture: an SVG that reads well on light and on dark pages."""

from html import escape
from pathlib import Path

from dev.bench.report import TARGETS
from dev.bench.suite import Figures

_ROW, _TOP, _LABEL, _BAR, _RIGHT = 34, 56, 250, 380, 110
_FULL_AT = 1.5  # a bar as long as this many times its target fills its row
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .small { font-size: 11px; fill: #59636e }
  .track { fill: #eaeef2 } .met { fill: #2da44e } .missed { fill: #cf222e }
  .target { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .track { fill: #2a313c }
    .met { fill: #3fb950 } .missed { fill: #f85149 } .target { stroke: #e6edf3 }
  }
"""


def write(figures: Figures, path: Path) -> None:
    """Writes the picture."""
    path.write_text(svg(figures), encoding="utf-8")


def svg(figures: Figures) -> str:
    """Each bar is drawn against its own target, so that all targets stand in one line."""
    width, height = _LABEL + _BAR + _RIGHT, _TOP + _ROW * len(TARGETS) + 12
    rows = [_row(number, name, figures) for number, name in enumerate(TARGETS)]
    line = _LABEL + _BAR / _FULL_AT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            "<title>Ratios against their targets</title>",
            f"<style>{_STYLE}</style>",
            '<text class="title" x="12" y="24">Ratios, and their targets</text>',
            f'<text class="small" x="{line:.0f}" y="44" text-anchor="middle">target</text>',
            *rows,
            f'<line class="target" x1="{line:.1f}" x2="{line:.1f}" y1="{_TOP - 6}" '
            f'y2="{height - 12}"/>',
            "</svg>",
            "",
        ]
    )


def _row(number: int, name: str, figures: Figures) -> str:
    value, target = figures.ratios[name], TARGETS[name]
    y = _TOP + number * _ROW
    length = min(value / target.bound / _FULL_AT, 1.0) * _BAR
    kind = "met" if target.met(value) else "missed"
    end = _LABEL + _BAR + 12
    return "\n".join(
        [
            f"<g><title>{escape(target.means)}</title>",
            f'<text x="{_LABEL - 12}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="track" x="{_LABEL}" y="{y + 3}" width="{_BAR}" height="18" rx="3"/>',
            f'<rect class="{kind}" x="{_LABEL}" y="{y + 3}" width="{length:.1f}" height="18" '
            'rx="3"/>',
            f'<text x="{end}" y="{y + 17}">{value:.2f} '
            f'<tspan class="small">{target.sign} {target.bound:g}</tspan></text></g>',
        ]
    )
