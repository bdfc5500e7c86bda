"""How throughput grows with the number of consumers.

`python -m dev.bench.consumers [--share 0.03] [--orders 120]`

Completed orders, which the consumers share out by partition. Each consumer gets the same share of a
core (`dev.bench.scaling`); the worker, the servers and the inventory are not limited.
"""

import argparse
import asyncio
import logging

from dev.bench.events import bench
from dev.bench.scaling import limited, specs_of
from dev.stack.apps import SERVERS
from dev.stack.supervisor import Supervisor

MOST = 3
"""The partitions of a topic, so more consumers have nothing to do."""
WARM_UP_ORDERS = 20


async def main(share: float, orders: int) -> None:
    """Measures 1 to `MOST` consumers."""
    async with bench(parts=(*SERVERS, "inventory", "worker")) as running:
        first = 0.0
        for count in range(1, MOST + 1):
            specs = [spec for _, spec in specs_of(running.stack, {"consumer": count})]
            folder = running.stack.local_dir / f"consumers-{count}"
            async with Supervisor(specs, log_dir=folder) as supervisor:
                pids = [supervisor.process(spec.name).pid for spec in specs]
                await running.rate(await running.orders(WARM_UP_ORDERS), running.by_consumer)
                waiting = await running.orders(orders)
                async with limited(pids, share):
                    rate = await running.rate(waiting, running.by_consumer)
            first = first or rate
            print(f"{count} consumer: {rate:6.1f} orders a second, {rate / first:.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--orders", type=int, default=120)
    given = parser.parse_args()
    logging.disable(logging.ERROR)  # errors of busy servers are expected
    asyncio.run(main(given.share, given.orders))
