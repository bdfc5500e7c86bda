"""Which part of the service a sample of `make profile` belongs to."""

import pytest

from dev.bench.parts import PARTS, part_of, samples_by_part

STEP = "_run (temporalio/worker/_activity.py:600);persist_cart (activities/carts.py:31)"
STORE = f"{STEP};persist (adapters/mongo/operations.py:98)"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        (STEP, "step"),
        (STORE, "adapters"),
        (f"{STORE};insert (beanie/odm/documents.py:380)", "Beanie"),
        (f"{STORE};insert (beanie/odm/documents.py:380);_op_msg (pymongo/message.py:1)", "driver"),
        (f"{STORE};__init__ (pydantic/main.py:250)", "validation"),
        ("to_payload (temporalio/contrib/pydantic.py:113);dump (pydantic/x.py:1)", "conversion"),
        (f"{STORE};add (opentelemetry/sdk/metrics/x.py:1)", "metrics"),
        (f"{STORE};info (structlog/stdlib.py:1);dumps (json/__init__.py:1)", "logging"),
        ("activate (temporalio/worker/_workflow_instance.py:1)", "activation"),
        ("dispatch (/x/.venv/lib/python3.11/site-packages/starlette/routing.py:1)", "HTTP server"),
        ("run (asyncio/runners.py:118)", "event loop"),
        ("<module> (worker.py:371)", "other"),
    ],
)
def test_a_stack_belongs_to_one_part(stack: str, part: str) -> None:
    assert part_of(stack) in PARTS
    assert part_of(stack).endswith(part)


def test_samples_are_added_up_by_part() -> None:
    lines = [f"{STEP} 3", f"{STEP};reserve_inventory (activities/inventory.py:52) 2", "idle 1"]
    assert samples_by_part(lines) == {"step": 5, "other": 1}
