"""The commands of docs/runbook.md, and which faults of the local stack they repair.

A block of commands belongs to the alert of its section, and its first line names the cause. The
tests run these lines as they are; only the words in capitals are replaced, by what the alert or the
doctor has named.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

from settings import Settings
from tests.deploy.tools import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
STAND_INS = Path(__file__).parent / "commands"
"""Of tools that are no part of the local stack, such as mongosh."""

SECONDS = 120
_SECTION = re.compile(r"^### (Cart\w+)$", re.MULTILINE)
_BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NAMES = (
    "COLLECTION",
    "EFFECT",
    "ID",
    "PID",
    "RELAY",
    "RUN",
    "STORE",
    "USER",
)

STOPPED = "it is stopped: PID is in its row of `cart doctor`"

TRIED = {
    ("CartProcessDown", STOPPED): "test_a_frozen_process_is_named_and_goes_on",
    ("CartTemporalDown", STOPPED): "test_a_frozen_process_is_named_and_goes_on",
    ("CartInventoryDown", STOPPED): "test_a_frozen_process_is_named_and_goes_on",
    ("CartRedisDown", STOPPED): "test_a_frozen_process_is_named_and_goes_on",
    ("CartKafkaDown", STOPPED): "test_a_frozen_process_is_named_and_goes_on",
    ("CartMongoDBDown", STOPPED): ("test_a_frozen_mongodb_is_reported_while_probes_are_cancelled"),
    ("CartMongoDBRefuses", '"failed validation": `cart doctor` names the COLLECTION'): (
        "test_a_mongodb_that_refuses_one_command_is_reported"
    ),
    ("CartSetupMissing", "a topic or an index is missing"): (
        "test_a_deleted_topic_and_a_deleted_index_are_reported_until_setup_makes_them"
    ),
    ("CartRedisRefuses", "it is full"): ("test_a_redis_that_refuses_writes_does_not_count_as_down"),
    ("CartDrift", "a leaked hold, or a cart without its hold"): (
        "test_a_leaked_hold_is_reported_and_repaired_by_reconcile"
    ),
    ("CartDriftRepaired", "there is more"): "test_drift_of_all_stores_is_repaired",
    ("CartSagaFailed", "it is reported: repair what it left behind"): (
        "test_what_a_run_that_was_terminated_left_behind_is_repaired"
    ),
    ("CartRelayBehind", "a relay is paused"): (
        "test_a_paused_relay_is_reported_until_it_is_resumed"
    ),
    ("CartRelayBehind", "one effect is refused for ever"): (
        "test_an_effect_that_is_refused_for_ever_is_skipped"
    ),
    ("CartRelayBehind", "the cause is corrected, or no relay is at work"): (
        "test_a_release_is_tried_at_once_when_its_product_works_again"
    ),
    ("CartPauseForgotten", "a relay"): "test_a_forgotten_pause_is_reported_until_it_ends",
    ("CartPauseForgotten", "a store"): "test_a_forgotten_pause_is_reported_until_it_ends",
    ("CartEventWaits", "another workflow has the id of the cart"): (
        "test_a_stuck_consumer_is_reported_until_the_cart_is_free"
    ),
    ("CartOrderShort", "there is stock again"): "test_an_order_is_booked_once_there_is_stock",
    ("CartOrderShort", "the order was cancelled or refunded"): (
        "test_an_unusable_event_is_dropped"
    ),
    ("CartEventsParked", "the cause is corrected"): "test_an_order_is_booked_once_there_is_stock",
    ("CartEventsParked", "it is not worth it"): "test_an_unusable_event_is_dropped",
}
"""The test that plants the fault and runs a block, or the same commands under another alert."""

OUTSIDE = {
    ("CartEventWaits", "a saga holds the cart"): (
        "a saga ends by itself within LOCK_TTL; tests/integration/test_ops.py aborts sagas"
    ),
    ("CartMongoDBRefuses", '"not authorized": USER is that of MONGODB_URI'): (
        "the local MongoDB has no users"
    ),
    ("CartRedisRefuses", "it is read-only, and should be the primary"): (
        "the local Redis has no replica"
    ),
    ("CartTopicRefused", "its user has no right to read"): "the local broker has no users",
    ("CartTopicFails", "Kafka refuses one event for ever"): (
        "the local broker refuses no event; `cart ops skip` is tried under CartRelayBehind"
    ),
}
"""Blocks that no test runs, and why."""

WITHOUT_COMMANDS = {
    "CartTargetDown": "the process is started by its platform",
    "CartSagasStandStill": "the system or process that is down has an alert of its own",
    "CartReleasesFail": "corrected at the Inventory Service",
    "CartStockNotShown": "corrected at the Inventory Service",
    "CartPricesDown": "corrected at the product service",
    "CartProductsFail": "corrected at the Inventory Service",
    "CartDependencySlow": "corrected in the system that is slow",
    "CartMongoDBDiskFull": "a larger disk",
    "CartRateLimiterOpen": "CartRedisDown or CartRedisRefuses",
    "CartErrorBudgetBurnsFast": "the alert of the cause",
    "CartErrorBudgetBurnsSlowly": "the alert of the cause",
    "CartTokensRefused": "a setting of this service or of the issuer",
    "CartAddsSlow": "more workers, or the system that is slow",
    "CartSagasUndone": "the alert of the cause",
    "CartConsumerStuck": "CartEventWaits, or the platform restarts the consumer",
    "CartConsumerOutOfGroup": "CartKafkaDown, CartSetupMissing or CartTopicRefused",
    "CartConsumerBehind": "more consumers, or the system that is down",
}
"""Alerts whose sections have no block: what puts them right is outside of this service."""


def blocks() -> dict[tuple[str, str], list[str]]:
    """(alert, cause) -> commands, of each block of commands in a section of an alert."""
    found = {}
    parts = _SECTION.split(RUNBOOK)
    for alert, text in zip(parts[1::2], parts[2::2], strict=True):
        for block in _BLOCK.findall(text):
            cause, *commands = [line.strip() for line in block.splitlines()]
            assert cause.startswith("# "), f"{alert}: a block begins with its cause"
            found[alert, cause.removeprefix("# ")] = commands
    return found


async def repair(settings: Settings, alert: str, cause: str, **names: str) -> None:
    """Runs the commands of a block, one after the other; each must succeed."""
    for command in blocks()[alert, cause]:
        filled = re.sub(r"[A-Z]+", lambda word: names.get(word[0], word[0]), command)
        left = [name for name in NAMES if re.search(rf"(?<![$A-Z_]){name}\b", filled)]
        assert not left, f"the runbook names {left} in {filled!r}"
        await _bash(filled, settings)


async def _bash(command: str, settings: Settings) -> None:
    environment = os.environ | {
        "PATH": f"{STAND_INS}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MONGODB_URI": settings.mongodb.get_secret_value(),
        "REDIS_URL": settings.redis.get_secret_value(),
        "TEMPORAL_ADDRESS": f"127.0.0.1:{settings.temporal_port}",
    }
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-euo", "pipefail", "-c", command),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    assert process.returncode == 0, f"{command}: {output.decode()}"
