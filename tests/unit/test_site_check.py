"""dev.site: the check finds what it is for, and the texts for programs are short."""

from pathlib import Path

import pytest

from dev.site import llms
from dev.site.check import main, problems

PAGE = '<h1 id="top">A page</h1>'


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="b.html#top">b</a><a href="#top">here</a><a href="sub/">sub</a>', []),
        ('<a href="https://example.com/x">elsewhere</a><a href="mailto:a@example.com">m</a>', []),
        ('<a href="c.html">c</a>', ["a.html: c.html: no such file"]),
        ('<a href="b.html#bottom">b</a>', ["a.html: b.html#bottom: no such anchor"]),
        ('<a href="#bottom">b</a>', ["a.html: #bottom: no such anchor"]),
        ('<img src="b.png">', ["a.html: b.png: no such file"]),
        (
            '<script src="//cdn.example.com/x.js"></script>',
            ["a.html: loads //cdn.example.com/x.js"],
        ),
    ],
)
def test_dead_links_and_other_hosts_are_found(html: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/index.html").write_text(PAGE)
    (tmp_path / "b.html").write_text(PAGE)
    (tmp_path / "a.html").write_text(PAGE + html)
    assert list(problems(tmp_path)) == found


def test_a_style_sheet_must_not_load_from_other_hosts(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import url('https://fonts.example.com/x.css');")
    assert list(problems(tmp_path)) == ["a.css: loads https://fonts.example.com/x.css"]


def test_the_command_fails_on_a_dead_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.html").write_text('<a href="c.html">c</a>')
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("1 pages, 1 dead links\n")


def test_a_summary_is_the_first_sentence_without_markup() -> None:
    page = "# Title\n\n<!-- Made. -->\n\n[A page](x.md) about\nthings. Another sentence.\n\n| a |\n"
    assert llms.summary(page) == "A page about things"
