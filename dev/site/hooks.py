"""Hooks of `mkdocs.yml`: pages that are files of the root, diagrams as pictures, the Swagger UI
page, llms.txt, and the files to deploy with. A page of docs/ that the navigation does not name gets
into its section "More".
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from dev.site import archive, diagrams, llms, swagger

ROOT = Path(__file__).parents[2]
# Pages made of files of the root, by their path on the site.
FROM_ROOT = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "code_of_conduct.md": "CODE_OF_CONDUCT.md",
    "contributing.md": "CONTRIBUTING.md",
    "license.md": "LICENSE",
    "security.md": "SECURITY.md",
}
_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    named = set(_pages(config.nav))
    docs = Path(config.docs_dir)
    found = (file.relative_to(docs).as_posix() for file in docs.rglob("*.md"))
    others = sorted(path for path in found if path not in named)
    if others and config.nav:
        config.nav.append({"More": others})
    return config


def _pages(nav: Any) -> list[str]:
    """All paths in a part of the navigation."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav or ()
    return [path for part in parts for path in _pages(part)]


def on_files(site: Files, config: MkDocsConfig) -> Files:
    for path, name in FROM_ROOT.items():
        text = _LINK.sub(_seen_from_docs, (ROOT / name).read_text())
        site.append(File.generated(config, path, content=text))
    for file in swagger.files(config):
        site.append(file)
    site.append(File.generated(config, archive.PATH, content=archive.content(ROOT)))
    return site


def _seen_from_docs(link: re.Match[str]) -> str:
    """A link of a file in the root, as it would be in docs/."""
    target, anchor = link["target"], link["anchor"] or ""
    if "://" in target:
        return link[0]
    inside = target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
    return f"]({inside}{anchor})"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    up = "../" * page.file.src_uri.count("/")
    moved = {f"{up}../{name}": f"{up}{path}" for path, name in FROM_ROOT.items()}

    def relinked(link: re.Match[str]) -> str:
        target = moved.get(link["target"])
        return link[0] if target is None else f"]({target}{link['anchor'] or ''})"

    text = _LINK.sub(relinked, markdown)
    for diagram in diagrams.of(markdown):
        files.append(File.generated(config, diagram.path, content=diagram.svg()))
        text = text.replace(diagram.block, f"![Diagram]({up}{diagram.path})")
    return text


def on_nav(nav: Navigation, *, config: MkDocsConfig, files: Files) -> Navigation:
    """Remembers the navigation for `on_post_build`."""
    config.extra["pages"] = nav.pages
    return nav


def on_post_build(config: MkDocsConfig) -> None:
    llms.write(config.extra["pages"], config)
