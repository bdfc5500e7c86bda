"""Every timeout and every retry of every step, and what the Web UI says of it, in one place.

A step's own client ends before the step does (`adapters`), so that a call is never cut in the
middle. A saga holds its cart: what it does before the pivot is tried for a few seconds, what it
does after it once, and the rest is left to its record.
"""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig, LocalActivityConfig

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""How long a cart waits for another worker after its worker was killed in the middle."""

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""A worker that died in a regular activity, or never heard of it, is noticed by its silence."""

MAX_COMMIT_TRIES = 5
"""How often a pivot is tried against a cart that somebody else has moved on."""

LOAD = LocalActivityConfig(
    summary="Read the cart and earlier outcomes of this operation",
    start_to_close_timeout=timedelta(seconds=3),
    schedule_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=2),
)

LOAD_FOR_AS_LONG_AS_IT_TAKES = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5)
    ),
)

RESERVE = LocalActivityConfig(
    summary="Hold the units in the inventory",
    start_to_close_timeout=timedelta(seconds=12),
    schedule_to_close_timeout=timedelta(seconds=13),
    # The last try comes when a circuit that was open at the first lets a trial through.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=100), backoff_coefficient=5, maximum_attempts=3
    ),
)

# Each of its two calls ends by itself before this; the steps above are the second try.
LOAD_AND_RESERVE = LocalActivityConfig(
    summary="Read the cart, and hold in the inventory what the update needs more",
    start_to_close_timeout=timedelta(seconds=15),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

COMMIT = LocalActivityConfig(
    summary="The pivot: store the cart and the operation's record, answer the caller, tell of it",
    # The pivot itself has a third of it; what is shown and published after it has the rest.
    start_to_close_timeout=timedelta(seconds=14),
    schedule_to_close_timeout=timedelta(seconds=15),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=1)
    ),
)

# Under the cart's lock, at most some pages of the inventory's list.
EXAMINE = LocalActivityConfig(
    start_to_close_timeout=timedelta(seconds=15),
    schedule_to_close_timeout=timedelta(seconds=20),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=2),
)

SETTLE = LocalActivityConfig(
    summary="Make sure that the change is never stored, or find it stored",
    start_to_close_timeout=timedelta(seconds=14),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

SETTLE_FOR_AS_LONG_AS_IT_TAKES = ActivityConfig(
    summary="Make sure that the change is never stored, or find it stored",
    start_to_close_timeout=timedelta(seconds=15),
    heartbeat_timeout=HEARTBEAT_TIMEOUT,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5)
    ),
)

RELEASE = LocalActivityConfig(
    summary="Give units back to the inventory",
    start_to_close_timeout=timedelta(seconds=3),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

SHOW = LocalActivityConfig(
    summary="Write the cart into the cache, answer the caller",
    start_to_close_timeout=timedelta(seconds=4),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

PUBLISH = LocalActivityConfig(
    summary="Publish the events",
    start_to_close_timeout=timedelta(seconds=12),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

ANSWER = LocalActivityConfig(
    summary="Tell the caller how it ended",
    start_to_close_timeout=timedelta(seconds=2),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

WAKE_RELAY = LocalActivityConfig(
    summary="Leave what is pending to the cart's relay",
    start_to_close_timeout=timedelta(seconds=1),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Relays wait for as long as it takes, and show it: regular activities, tried once each, with the
# pause between tries in the workflow, where a signal can cut it short.

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

# A page of many carts: nobody waits for it, and nothing may be left out.
CARTS_PAGE = ActivityConfig(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=10)
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

RECONCILE_BATCH = 50  # carts that are looked at again by one activity

EXPIRY_PAGE = 200  # carts
EXPIRY_MOST_LEFT = 1000  # carts that a pass leaves before it ends; the next begins anew

RELAY_BATCH = 500  # records
RELAY_GRACE_PAUSE = timedelta(seconds=1)
RELAY_FIRST_PAUSE = timedelta(seconds=1)
RELAY_LONGEST_PAUSE = timedelta(seconds=15)


def relay_pause(failures: int) -> timedelta:
    """How long a relay waits after so many failed tries in a row: doubling, up to a bound."""
    return min(RELAY_FIRST_PAUSE * (1 << min(failures - 1, 8)), RELAY_LONGEST_PAUSE)
