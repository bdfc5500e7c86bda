"""`python -m dev.site.check FOLDER`: the dead links of a built site, and what it would load from
other hosts; exits 1 when there are any. Links to other hosts are not followed.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes by which a page loads something, and those that only lead elsewhere.
_LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
_LEADS = {("a", "href")}
_ELSEWHERE = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)
_IMPORTED = re.compile(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)")


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name in {"id", "name"}:
                self.anchors.add(value)
            if (tag, name) in _LOADS and ("rel", "canonical") not in attrs:
                self.loads.append(value)
            if (tag, name) in _LEADS:
                self.leads.append(value)


@cache
def _links(page: Path) -> Links:
    links = Links()
    links.feed(page.read_text())
    return links


def problems(site: Path) -> Iterator[str]:
    for page in sorted(site.rglob("*.html")):
        links = _links(page)
        name = page.relative_to(site)
        for target in links.loads:
            if _ELSEWHERE.match(target):
                yield f"{name}: loads {target}"
        for target in (*links.loads, *links.leads):
            if not _ELSEWHERE.match(target) and (dead := _dead(page, target, site)):
                yield f"{name}: {target}: {dead}"
    for sheet in sorted(site.rglob("*.css")):
        for target in _IMPORTED.findall(sheet.read_text()):
            yield f"{sheet.relative_to(site)}: loads {target}"


def _dead(page: Path, link: str, site: Path) -> str | None:
    """Why a link within the site leads nowhere."""
    parts = urlsplit(link)
    if parts.scheme in {"mailto", "data", "javascript"}:
        return None
    start = site / "." if parts.path.startswith("/") else page.parent
    target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in _links(target).anchors:
        return "no such anchor"
    return None


def main(arguments: Sequence[str]) -> int:
    [folder] = arguments
    found = list(problems(Path(folder).resolve()))
    pages = len(list(Path(folder).rglob("*.html")))
    sys.stdout.write("\n".join([*found, f"{pages} pages, {len(found)} dead links", ""]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
