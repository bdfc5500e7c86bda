"""`python -m tests.faults.consumer_under_test`: the consumer with triggers on its calls.

CART_TEST_CONTROL is the address of the test's trigger server (`call_hooks`). The consumer's calls
belong to no workflow; they are reported with the workflow id `CONSUMER`.
"""

import os
import sys
from typing import Any

import consumer
from adapters.kafka import consumer as event_consumer
from tests.faults.call_hooks import CallerFields, TriggerClient, with_triggers
from tests.support.crashing_consumer import SESSION_MS, STEPS

CONSUMER = "consumer"

_run = consumer.run


async def run(settings: Any) -> None:
    """`consumer.run` with triggers."""
    caller: CallerFields = {"workflowId": CONSUMER, "workflowType": "", "runId": ""}
    triggers = await TriggerClient.connect(os.environ["CART_TEST_CONTROL"], lambda: caller)
    for owner, name in STEPS:
        setattr(owner, name, with_triggers(name, getattr(owner, name), triggers))
    await _run(settings)


if __name__ == "__main__":
    event_consumer.SESSION_MS = SESSION_MS
    consumer.run = run
    sys.exit(consumer.main())
