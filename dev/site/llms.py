"""llms.txt (llmstxt.org): the site for programs that read text, with the Markdown of each page
beside its HTML.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_PARAGRAPH = re.compile(r"^[A-Z`*\[][^\n|]*(?:\n(?![\n#|`-])[^\n|]+)*", re.MULTILINE)
_MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def write(pages: Iterable["Page"], config: "MkDocsConfig") -> None:
    site = Path(config.site_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", "## Pages", ""]
    for page in pages:
        text = page.markdown or ""
        (site / page.file.src_uri).parent.mkdir(parents=True, exist_ok=True)
        (site / page.file.src_uri).write_text(text)
        lines.append(f"- [{page.title}]({page.file.src_uri}): {summary(text)}")
    lines += [
        "",
        "## For programs",
        "",
        "- [openapi.json](openapi.json): the HTTP API, OpenAPI 3.1",
        "- [asyncapi.json](asyncapi.json): the events, AsyncAPI 3",
    ]
    (site / "llms.txt").write_text("\n".join(lines) + "\n")


def summary(markdown: str) -> str:
    """The first sentence of a page's first paragraph, without markup."""
    body = re.sub(r"<!--.*?-->", "", markdown.partition("\n")[2], flags=re.DOTALL)
    paragraph = _PARAGRAPH.search(body)
    text = " ".join(_MARKUP.sub(r"\1", paragraph[0]).split()) if paragraph else ""
    return text.partition(". ")[0].rstrip(".")
