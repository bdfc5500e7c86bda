"""The generated pages of docs/ are up to date and complete."""

import re
from pathlib import Path

import pytest

from api.error_codes import ErrorCode
from cli.main import COMMANDS
from dev.reference import PAGES
from dev.reference.errors_page import explained
from dev.reference.settings_page import sections
from settings import Settings


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_up_to_date(name: str, project_root: Path) -> None:
    is_current = (project_root / name).read_text() == PAGES[name](project_root)
    assert is_current, f"{name}: run `python -m dev.reference` (or `make docs`)"


def test_each_setting_has_a_meaning(project_root: Path) -> None:
    found = {
        entry.name: entry.meaning
        for section in sections((project_root / ".env.example").read_text())
        for entry in section.entries
    }
    assert {name.upper() for name in Settings.model_fields} <= found.keys()
    assert [name for name, meaning in found.items() if not meaning] == []


def test_defaults_and_limits_are_those_of_the_models(project_root: Path) -> None:
    page = PAGES["docs/settings.md"](project_root)
    assert "| `LOCK_TTL` | `30` | > 0 and ≤ 86400 |" in page
    assert "| `LOG_LEVEL` | `info` | `debug`, `info`, `warn`, `error` |" in page
    assert "| `JWT_SECRET` | a sample | a secret |" in page


def test_each_code_has_a_section_with_what_to_do(project_root: Path) -> None:
    page = (project_root / "docs/errors.md").read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [*ErrorCode]
    rows = explained((project_root / "docs/api.md").read_text())
    assert rows["temporal_unavailable"].advice == rows["inventory_unavailable"].advice


def test_each_command_has_a_section(project_root: Path) -> None:
    page = (project_root / "docs/cli.md").read_text()
    assert [one for one in COMMANDS if f"## `cart {one}`\n" not in page] == []
    assert "#### `cart ops" not in page, "one level of commands below a command"
