"""`python -m dev.reference`: writes the generated pages."""

from dev.reference import PAGES, ROOT

for name, write in PAGES.items():
    (ROOT / name).write_text(write(ROOT))
