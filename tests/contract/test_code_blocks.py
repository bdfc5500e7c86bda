"""Every block of commands in the documents was run: here, by another test, or it says why not.

Here the blocks run in a shell, in a store and on a stack of their own. `make` only says what it
would do, and `kubectl`, which has no cluster, gets as far as its first request. Some commands find
nothing or a problem: their exit code says so. A usage error (2) and a missing program are failures.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.stack.ports import more_free_ports
from dev.stack.stack import Stack
from tests.contract import guide
from tests.contract.test_tutorials import blocks as tutorial_blocks
from tests.support.shop import Shop
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"),
    *("clients/README.md", "clients/python/README.md", "clients/typescript/README.md"),
    *(str(file.relative_to(ROOT)) for file in sorted((ROOT / "docs").rglob("*.md"))),
]
# Pages and blocks that other tests run; a block by how it begins.
ELSEWHERE = {
    ("docs/tutorials/adopt.md", ""): "tests/deploy/test_adopt.py",
    ("docs/tutorials/checkout.md", ""): "tests/contract/test_tutorials.py",
    ("docs/tutorials/first-cart.md", ""): "tests/contract/test_tutorials.py",
    ("docs/migrate.md", ""): "tests/integration/test_import.py",
    ("docs/deploy.md", "# 1. the workers of the new version"): "tests/integration/test_release.py",
    ("docs/deploy.md", "# back to workers without"): "tests/integration/test_release.py",
}
# The only blocks that no test runs.
NOT_RUN = {
    ("README.md", "make image"): "needs a container engine, a registry and a cluster",
    ("docs/deploy.md", 'echo "JWT_SECRET'): "needs a container engine; test_adopt runs the like",
    (
        "docs/deploy.md",
        "docker compose up",
    ): "needs a container engine; test_compose reads the file",
    ("docs/deploy.md", "(cd deploy/k8s/overlays"): "needs kustomize's own program",
    ("docs/deploy.md", "helm upgrade"): "needs a cluster; test_chart renders the chart",
    ("CONTRIBUTING.md", "uv pip compile"): "needs a package index",
    ("CONTRIBUTING.md", ".venv/bin/python -m tests.replay.record"): "replaces recorded histories",
}
SECONDS = 240
PRELUDE = """
make() { command make -n "$@" > /dev/null; }
kubectl() {
    local said
    said=$(command kubectl --server http://127.0.0.1:1 "$@" 2>&1) \
        || [[ $said == *refused* ]] || { echo "$said"; return 3; }
}
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
trap 'code=$?; case $code in 2|12[67])
    echo "FAILED with $code: $BASH_COMMAND";; esac' ERR
"""


@dataclass(frozen=True)
class Block:
    """A block of commands of a page."""

    page: str
    text: str
    indented: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0]}"

    def listed(self, table: dict[tuple[str, str], str]) -> bool:
        return any(
            self.page == page and self.text.strip().startswith(begin) for page, begin in table
        )


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = (ROOT / page).read_text()
        for found in re.finditer(
            r"^( *)```(?:bash|sh|shell|console)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL
        ):
            yield Block(page, found[2], indented=bool(found[1]))


def run_elsewhere(block: Block) -> bool:
    if block.listed(ELSEWHERE):
        return True
    if block.page == "docs/api.md":
        return block.text in {example.curl for example in guide.examples(guide.PAGE.read_text())}
    # Those of an alert are in the table of tests/deploy/runbook.py.
    return block.page == "docs/runbook.md" and block.indented


HERE = [one for one in blocks() if not one.listed(NOT_RUN) and not run_elsewhere(one)]


def test_the_tables_name_blocks_and_tests_that_exist() -> None:
    everything = list(blocks())
    for page, begin in (*ELSEWHERE, *NOT_RUN):
        assert any(one.listed({(page, begin): ""}) for one in everything), (page, begin)
    assert not [test for test in ELSEWHERE.values() if not (ROOT / test).exists()]


@pytest.mark.parametrize("block", HERE, ids=str)
async def test_the_commands_run(block: Block, shop: Shop, stack: Stack, tmp_path: Path) -> None:
    settings = shop.world.settings

    async def worker() -> int:
        return stack.process("worker").pid

    pid = await eventually(worker, timeout=60)
    text = block.text
    for old, new in {
        "store-1": shop.store_id,
        ":4007": f":{settings.port}",
        ":4008": f":{settings.inventory_port}",
        # Not the workers of other tests.
        '$(pgrep -f "$PWD/.venv/bin/python worker.py")': str(pid),
        "4010": str(more_free_ports(1)[0]),
        "while true; do .venv/bin/cart demo; sleep 1; done": ".venv/bin/cart demo",
    }.items():
        text = text.replace(old, new)
    for file in ROOT.iterdir():
        if file.name != ".env":
            (tmp_path / file.name).symlink_to(file)
    for process in ("api", "worker", "consumer", "setup"):
        (tmp_path / f"{process}.env").write_text("NAME=value\n")
    [program] = tutorial_blocks("inventory.md", "python")
    (tmp_path / "inventory_of_mine.py").write_text(program)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-uo", "pipefail", "-c", PRELUDE + text),
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output = (await shell.communicate())[0].decode()
    assert "FAILED with" not in output, output
    assert "Traceback" not in output, output
