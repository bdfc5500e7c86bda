"""`python -m tests.contract.fuzz --cases 50000`: schemathesis against the running service.

Runs rounds of schemathesis, each with another seed, for a number of cases, and random bytes
(`raw_requests`) after each. Prints a line after each
round, and at the end a table of operations and statuses. Exit code 1 when a check failed or a
request got 5xx. The test suite runs one round. `schemathesis.toml` and `hooks` have the checks.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from cli.token import mint_token
from dev.stack.stack import Stack
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.contract.hooks import STATUSES_FILE
from tests.contract.raw_requests import send_raw
from workflows.ids import operation_id

ROOT = Path(__file__).parent.parent.parent
CONFIG = Path(__file__).parent / "schemathesis.toml"
TOKEN_SECONDS = 86_400
UNITS = 100_000_000
STORES, SHOPPERS, PRODUCTS = 3, 3, 4
EXAMPLES_A_ROUND = 100
RAW_A_ROUND = 1000
LANES = 2  # processes of schemathesis at once


@dataclass
class Round:
    """The result of one or several runs of schemathesis."""

    cases: int = 0
    failures: int = 0
    output: str = ""
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def unavailable(self) -> int:
        """The number of 503 responses."""
        return sum(times for label, times in self.statuses.items() if label.endswith(" 503"))

    def __str__(self) -> str:
        """Cases, failures, and a table of statuses by operation."""
        codes = sorted({label.rsplit(" ", 1)[1] for label in self.statuses})
        operations = sorted({label.rsplit(" ", 1)[0] for label in self.statuses})
        lines = [
            f"{self.cases} cases, {self.failures} failures, {self.unavailable} of them 503",
            "",
            f"| operation | {' | '.join(codes)} |",
            f"|---|{'---:|' * len(codes)}",
        ]
        for operation in operations:
            row = (str(self.statuses[f"{operation} {code}"]) for code in codes)
            lines.append(f"| {operation} | {' | '.join(row)} |")
        return "\n".join(lines)


async def prepare(settings: Settings, folder: Path) -> dict[str, str]:
    """Makes stores with stock and carts, and writes their ids and the configuration to `folder`.

    Returns the environment for schemathesis.
    """
    stores = [f"fuzz-{uuid4().hex[:8]}" for _ in range(STORES)]
    products = [f"product-{number}" for number in range(PRODUCTS)]
    carts: list[str] = []
    operations: list[str] = []
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", timeout=30) as http,
        httpx.AsyncClient(base_url=settings.inventory, timeout=10) as inventory,
    ):
        for store in stores:
            for product in products:
                await _stock(inventory, store, product)
            for number in range(SHOPPERS):
                user = f"shopper-{number}"
                for product in products:
                    cart = await _add(http, settings, store, user, product)
                    operations.append(operation_id(store, user, product))
                carts.append(cart["_id"])
    ids = {"stores": stores, "products": products, "carts": carts, "operations": operations}
    for name, values in ids.items():
        (folder / name).write_text("".join(f'"{value}"\n' for value in values))
    token = mint_token(settings, user="fuzz", role="admin", ttl_seconds=TOKEN_SECONDS)
    shutil.copy(CONFIG, folder)
    return {"CART_FUZZ_TOKEN": token}


async def _stock(inventory: httpx.AsyncClient, store: str, product: str) -> None:
    response = await inventory.put(
        f"/api/v1/inventories/stock/{product}",
        params={"storeId": store},
        json={"available": UNITS},
    )
    response.raise_for_status()


async def _add(
    http: httpx.AsyncClient, settings: Settings, store: str, user: str, product: str
) -> dict[str, Any]:
    token = mint_token(settings, user=user)
    response = await http.post(
        f"/api/v1/cart/{store}/store",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": product},
        json={"productId": product, "productTitle": "Lamp", "productPrice": 9.99, "quantity": 2},
    )
    response.raise_for_status()
    cart: dict[str, Any] = response.json()
    return cart


async def run_round(
    settings: Settings, env: dict[str, str], folder: Path, *, examples: int, seed: int
) -> Round:
    """Runs schemathesis with `examples` examples for each operation and phase."""
    report, statuses = folder / "report.json", folder / "statuses.json"
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--no-color",
            "--config-file",
            str(folder / CONFIG.name),
        ),
        *("run", f"http://127.0.0.1:{settings.port}/openapi.json"),
        *("--max-examples", str(examples), "--seed", str(seed)),
        *("--report", "json", "--report-json-path", str(report)),
        cwd=ROOT,
        env=os.environ | env | {STATUSES_FILE: str(statuses)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    output = printed.decode()
    if not report.exists() or not statuses.exists():
        raise RuntimeError(f"schemathesis did not run:\n{output}")
    found = json.loads(report.read_text())
    counted = Counter(json.loads(statuses.read_text()))
    for path in (report, statuses):
        path.unlink()
    cases = found["test_cases"]
    failures = cases["unique_failures"] + len(found["errors"])
    return Round(cases["generated"], failures or process.returncode or 0, output, counted)


async def fuzz(cases: int, seed: int) -> bool:
    """Whether all checks passed and no request got 5xx."""
    begun = time.monotonic()
    total = Round()
    seeds = count(seed)

    async def raw(settings: Settings, env: dict[str, str], chosen: int) -> None:
        seen = await send_raw(
            settings.port, RAW_A_ROUND, seed=chosen, store="fuzz", token=env["CART_FUZZ_TOKEN"]
        )
        total.failures += len(seen.faults)
        _say(f"seed {chosen}: {RAW_A_ROUND} raw requests, statuses {dict(seen.statuses)}")
        for fault in seen.faults:
            _say(fault)

    async def lane(settings: Settings, folder: Path) -> None:
        env = await prepare(settings, folder)
        while total.cases < cases:
            chosen = next(seeds)
            one = await run_round(settings, env, folder, examples=EXAMPLES_A_ROUND, seed=chosen)
            total.cases += one.cases
            total.failures += one.failures
            total.statuses += one.statuses
            elapsed = time.monotonic() - begun
            left = elapsed * max(0, cases - total.cases) / total.cases / 60
            _say(
                f"seed {chosen}: {total.cases} of {cases} cases, {total.failures} failures, "
                f"{total.unavailable} of them 503, {elapsed:.0f} s, about {left:.0f} min left"
            )
            if one.failures:
                _say(one.output)
            await raw(settings, env, chosen)

    with ExitStack() as held:
        stack, *folders = (
            Path(held.enter_context(tempfile.TemporaryDirectory(prefix="cart-fuzz-")))
            for _ in range(1 + LANES)
        )
        settings = held.enter_context(settings_of_its_own(stack))
        os.environ["LOG_LEVEL"] = "info"
        os.environ["RATE_LIMIT_GUESTS_PER_ADDRESS"] = "0"
        async with Stack(settings):
            await asyncio.gather(*(lane(settings, folder) for folder in folders))
    _say(f"\n{total}")
    return not total.failures and not total.unavailable


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Exit code 0 when all checks passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    return 0 if asyncio.run(fuzz(given.cases, given.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
