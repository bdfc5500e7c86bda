"""The tests that the documents name as proof exist."""

import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`(tests/[\w/.]+?)(?:\.py`(?: `(test_\w+)`)?|`)")


def documents() -> list[Path]:
    root = Path(__file__).parent.parent.parent
    return [*root.glob("*.md"), *root.glob("docs/*.md")]


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_each_test_that_a_document_names_exists(document: Path, project_root: Path) -> None:
    for path, name in NAMED.findall(document.read_text()):
        file = project_root / f"{path}.py"
        if not file.exists():
            assert (project_root / path).exists(), path
        if name:
            assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.MULTILINE), name


def test_each_promise_names_its_test(project_root: Path) -> None:
    page = (project_root / "docs/promises.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 40
    assert [row for row in rows if not NAMED.search(row)] == []
