"""Pages of docs/ that are generated: settings.md from the models, cli.md from the commands,
errors.md from the codes. `python -m dev.reference` writes them;
`tests/unit/test_reference_pages.py` fails when one is out of date.
"""

from collections.abc import Callable
from pathlib import Path

from dev.reference import cli_page, errors_page, settings_page

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[Path], str]] = {
    "docs/cli.md": cli_page.page,
    "docs/errors.md": errors_page.page,
    "docs/settings.md": settings_page.page,
}
