"""Scenarios of workflows that an operator's command starts."""

from uuid import uuid4

from activities.privacy import ERASURE
from models.actor import Actor, ActorType
from models.audit import AuditEntry
from models.privacy import EraseInput
from tests.replay.common import Run, Scenario
from tests.support.carts import plant_cart
from tests.support.keys import KEYRING
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.audit import AuditWorkflow
from workflows.privacy import ErasePersonalDataWorkflow


async def erase_of_a_user(bench: Bench, relays: RelayBench) -> Run:
    user_id = f"user-{uuid4().hex[:12]}"
    await plant_cart(bench.shop, user_id, {"headphones": 1})
    request = EraseInput(
        user=KEYRING.seal(user_id, ERASURE),
        store_id=bench.shop.store_id,
        actor=Actor(type=ActorType.OPERATOR, id="ann@example"),
    )
    return await bench.shop.world.temporal.start_workflow(
        ErasePersonalDataWorkflow.run,
        request,
        id=f"erase-{uuid4()}",
        task_queue=bench.task_queue,
    )


async def audit_line(bench: Bench, relays: RelayBench) -> Run:
    entry = AuditEntry(command="dlq_drop", operator="ann@example", count=2, reason="a test")
    return await bench.shop.world.temporal.start_workflow(
        AuditWorkflow.run, entry, id=f"audit-{uuid4()}", task_queue=bench.task_queue
    )


SCENARIOS: tuple[Scenario, ...] = (erase_of_a_user, audit_line)
