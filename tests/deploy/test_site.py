"""`make site` builds the documents, and finds no dead link in them."""

from pathlib import Path

from tests.deploy.tools import ROOT


def test_the_site_has_no_dead_link_and_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in ROOT.glob("docs/**/*.md")}
    assert not [page for page in pages if not (site / f"{page}.html").exists()]
    index = (site / "llms.txt").read_text()
    assert not [page for page in pages if f"({page}.md)" not in index]
    # Diagrams are pictures, and the API can be tried.
    assert list((site / "diagrams").glob("*.svg"))
    assert "SwaggerUIBundle" in (site / "swagger/page.js").read_text()
