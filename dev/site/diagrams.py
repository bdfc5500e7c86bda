"""Mermaid diagrams as SVG files, so that pages need no script for them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import mermaidx

_BLOCK = re.compile(r"^```mermaid\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Diagram:
    """A diagram of a page; `block` is its place in the page's text."""

    block: str
    text: str

    @property
    def path(self) -> str:
        return f"diagrams/{hashlib.sha256(self.text.encode()).hexdigest()[:16]}.svg"

    def svg(self) -> str:
        return _rendered(self.text)


def of(markdown: str) -> Iterator[Diagram]:
    for found in _BLOCK.finditer(markdown):
        yield Diagram(found[0], found["text"])


@cache
def _rendered(text: str) -> str:
    svg: str = mermaidx.render(text).svg()
    return svg
