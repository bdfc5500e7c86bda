"""`python -m tests.faults.consumer_under_test`: the consumer, with a test's hand on it.

CART_TEST_CONTROL is the test's address (`hooks`). Its calls are those of no workflow: they are told
to the test as of `CONSUMER`.
"""

import os
import sys
from typing import Any

import consumer
from adapters.kafka import consumer as event_consumer
from tests.faults.hooks import Caller, Control, asking
from tests.support.consumer_under_test import SESSION_MS, STEPS

CONSUMER = "consumer"

_run = consumer.run


async def run(settings: Any) -> None:
    """As `consumer.run`, under control."""
    nobody: Caller = {"workflowId": CONSUMER, "workflowType": "", "runId": ""}
    control = await Control.connect(os.environ["CART_TEST_CONTROL"], lambda: nobody)
    for owner, name in STEPS:
        setattr(owner, name, asking(name, getattr(owner, name), control))
    await _run(settings)


if __name__ == "__main__":
    event_consumer.SESSION_MS = SESSION_MS
    consumer.run = run
    sys.exit(consumer.main())
