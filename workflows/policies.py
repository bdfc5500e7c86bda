"""Every timeout and retry of every step, with the summary that the Web UI shows of it.

A step's own client gives up before the step does (`adapters`), so a call is never cut in the
middle. A saga holds its cart: steps before the pivot are retried for a few seconds, steps after it
are tried once, and what is left is the relay's.
"""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig, LocalActivityConfig

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""How long a cart waits for another worker after its worker was killed in the middle."""

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""After this silence a regular activity is taken from a worker that died."""

LOAD_CART = LocalActivityConfig(
    summary="Read the cart, and how this operation ended before",
    start_to_close_timeout=timedelta(seconds=3),
    schedule_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2),
)

RESERVE_INVENTORY = LocalActivityConfig(
    summary="Reserve the units in the inventory",
    start_to_close_timeout=timedelta(seconds=12),
    schedule_to_close_timeout=timedelta(seconds=13),
    # The last try comes when a circuit that was open at the first one admits a trial.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=100), backoff_coefficient=5, maximum_attempts=3
    ),
)

TRANSFER_INVENTORY = LocalActivityConfig(
    summary="Move the guest's units to the user in the inventory",
    start_to_close_timeout=timedelta(seconds=12),
    schedule_to_close_timeout=timedelta(seconds=13),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=100), backoff_coefficient=5, maximum_attempts=3
    ),
)

CLAIM_CART = LocalActivityConfig(
    summary="Claim the guest's cart, so that nothing else changes it",
    start_to_close_timeout=timedelta(seconds=3),
    schedule_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2),
)

UNCLAIM_CART = LocalActivityConfig(
    summary="Give the claim on the guest's cart up",
    start_to_close_timeout=timedelta(seconds=3),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

PERSIST_CART = LocalActivityConfig(
    summary="Store the cart and the operation's record in MongoDB (the pivot)",
    start_to_close_timeout=timedelta(seconds=6),
    schedule_to_close_timeout=timedelta(seconds=15),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=1)
    ),
)

# Under the cart's lock, at most some pages of the inventory's list.
EXAMINE_CART = LocalActivityConfig(
    summary="Compare the cart with what is reserved, pending and cached",
    start_to_close_timeout=timedelta(seconds=15),
    schedule_to_close_timeout=timedelta(seconds=20),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2),
)

SETTLE_OPERATION = LocalActivityConfig(
    summary="Record that the operation has ended without a change",
    start_to_close_timeout=timedelta(seconds=14),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

SETTLE_UNTIL_DECIDED = ActivityConfig(
    summary="Record that the operation has ended without a change",
    start_to_close_timeout=timedelta(seconds=15),
    heartbeat_timeout=HEARTBEAT_TIMEOUT,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5)
    ),
)

RELEASE_INVENTORY = LocalActivityConfig(
    summary="Release units in the inventory",
    start_to_close_timeout=timedelta(seconds=3),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

REFRESH_CACHE = LocalActivityConfig(
    summary="Write the cart to Redis, and reply to the caller",
    start_to_close_timeout=timedelta(seconds=4),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

PUBLISH_EVENT = LocalActivityConfig(
    summary="Publish the event to Kafka",
    start_to_close_timeout=timedelta(seconds=12),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

REPLY_TO_CALLER = LocalActivityConfig(
    summary="Reply to the caller",
    start_to_close_timeout=timedelta(seconds=2),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

WAKE_RELAY = LocalActivityConfig(
    summary="Leave what is pending to the cart's relay",
    start_to_close_timeout=timedelta(seconds=1),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Relays are regular activities, tried once each. The pause between tries is in the workflow, where
# a signal can end it.

# A batch may take long.
DELIVER = ActivityConfig(
    summary="Deliver what is pending, the oldest first",
    start_to_close_timeout=timedelta(seconds=90),
    heartbeat_timeout=HEARTBEAT_TIMEOUT,
    retry_policy=RetryPolicy(maximum_attempts=1),
)

SKIP_EFFECT = ActivityConfig(
    summary="Give one effect up, as an operator says",
    start_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
)

WAKE_WAITING = ActivityConfig(
    summary="Wake the relays of what has been pending for too long",
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10), maximum_attempts=3),
)

# A page of many carts: no caller waits for it, and all of it must be done.
CARTS_PAGE = ActivityConfig(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=10)
    ),
)

# An erasure waits for whatever it needs: all of it must be done.
ERASE = ActivityConfig(
    start_to_close_timeout=timedelta(minutes=30),
    heartbeat_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
    ),
)

# The next look comes soon, so there is no second try.
WATCH = ActivityConfig(
    summary="Compare carts and holds, and look again at those that differ",
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=HEARTBEAT_TIMEOUT,
    retry_policy=RetryPolicy(maximum_attempts=1),
)

MEASURE = ActivityConfig(
    start_to_close_timeout=timedelta(minutes=3),
    heartbeat_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=5),
)

RECONCILE_BATCH = 100  # carts that are looked at again by one activity

RUNNERS = 4
"""How many activities of a scheduled workflow page through carts side by side."""

PASS_PAGE = 500  # carts
PASS_MOST_LEFT = 100  # carts that a runner leaves before it ends; the next pass begins anew

RELAY_BATCH = 500  # records
RELAY_WAKE_PAUSE = timedelta(seconds=1)
