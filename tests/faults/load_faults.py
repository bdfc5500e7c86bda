"""The faults of the load: which ones, when, and for whose request or event."""

import random
import time
from dataclasses import dataclass, field

from tests.faults import consumer_fault_catalog, fault_catalog
from tests.faults.cart_requests import CartRequest
from tests.faults.event_traffic import EventTraffic
from tests.faults.fault_catalog import FaultMethod, PlannedFault
from tests.faults.fault_injection import Injector
from tests.faults.shoppers import Ledger
from tests.faults.triggers import Trigger

_OF_OPERATORS = frozenset({FaultMethod.TERMINATE, FaultMethod.RESET})
"""Left to `chaos`, which knows what an operator may break."""
_CONSUMER_SHARE = 3
"""One in so many faults is one of the consumer."""
_MANY = 10


@dataclass
class LoadFaults:
    """Arms one fault after the other, `every` so many seconds, for the next request that can reach
    its moment."""

    injector: Injector
    ledger: Ledger
    planned: list[PlannedFault]
    of_consumer: list[PlannedFault]
    every: float
    traffic: EventTraffic | None = None
    armed: list[Trigger] = field(default_factory=list)
    _next_at: float = field(default_factory=time.monotonic)
    _due: list[PlannedFault] = field(default_factory=list)

    @property
    def missed(self) -> int:
        """How many armed faults have not struck."""
        return sum(not trigger.fired.is_set() for trigger in self.armed)

    def before_request(self, request: CartRequest) -> None:
        """Arms a fault that is due, if the request can reach its moment."""
        now = time.monotonic()
        if self.planned and now >= self._next_at:
            self._due.append(self.planned.pop())
            self._next_at = now + self.every
        for fault in self._due:
            if fault.action is request.action:
                self._due.remove(fault)
                self.armed.append(
                    self.injector.arm(
                        fault, self.ledger.store_id, request.user_id, request.product_id
                    )
                )
                return

    async def before_event(self, number: int) -> None:
        """Arms a fault of the consumer before every few events."""
        if number % _MANY == 0 and self.of_consumer and self.traffic is not None:
            fault = self.of_consumer.pop()
            self.armed.append(
                self.injector.arm_consumer(fault, self.ledger.store_id, self.traffic.settled)
            )

    def disarm(self) -> None:
        for trigger in self.armed:
            self.injector.rig.triggers.disarm(trigger)


def faults_of(
    rng: random.Random, injector: Injector, ledger: Ledger, *, count: int, every: float
) -> LoadFaults:
    """The faults of one run; the same for the same `rng`."""
    of_consumer = count // _CONSUMER_SHARE
    candidates = fault_catalog.plan(rng, sagas=range(_MANY * count), faults=_MANY * count)
    planned = [one for one in candidates if one.fault.kind not in _OF_OPERATORS]
    return LoadFaults(
        injector,
        ledger,
        planned[: count - of_consumer],
        consumer_fault_catalog.plan(rng, events=range(count), faults=of_consumer),
        every,
    )
