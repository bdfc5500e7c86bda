"""`python -m tests.faults.worker_under_test`: the worker with triggers on each adapter call.

It is the production worker, whose adapters are wrapped before `worker.build_worker` gets them.
CART_TEST_CONTROL is the address of the test's trigger server (`call_hooks`). The carts of users
whose name has the prefix of a known bug are served with that bug (`known_bugs`).
"""

import os
import sys
from typing import Any

import worker
from tests.faults.call_hooks import TriggerClient, hook_transactions, with_triggers_on_all_calls
from tests.faults.known_bugs import with_known_bugs, with_known_bugs_of_the_saga

_run, _build = worker.run, worker.build_worker
# No step waits for these, and the stock cache has method names of the cart cache.
_WITHOUT_TRIGGERS = frozenset({"gateway", "stock", "keyring", "limiter"})


async def run(settings: Any) -> None:
    """`worker.run` with triggers."""
    triggers = await TriggerClient.connect(os.environ["CART_TEST_CONTROL"])
    hook_transactions(triggers)

    def build_worker(client: Any, settings: Any, **adapters: Any) -> Any:
        with_known_bugs()
        wrapped = {
            name: adapter
            if name in _WITHOUT_TRIGGERS
            else with_triggers_on_all_calls(adapter, triggers)
            for name, adapter in adapters.items()
        }
        with_known_bugs_of_the_saga(wrapped)
        return _build(client, settings, **wrapped)

    worker.build_worker = build_worker
    await _run(settings)


if __name__ == "__main__":
    worker.run = run
    sys.exit(worker.main())
