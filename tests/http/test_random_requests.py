"""Whatever bytes come, nothing fails: no 5xx, no traceback, and the server goes on."""

import logging

import pytest

from tests.contract.raw_requests import send_raw
from tests.fakes.api import STORE
from tests.http.conftest import Served, until


async def test_random_bytes_are_the_clients_error(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    token = served.api.token(role="admin")["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.ERROR):
        seen = await send_raw(served.port, 1500, seed=1, store=STORE, token=token)
    assert seen.faults == []
    assert caplog.records == []
    # Requests of all kinds must have been among them.
    assert {200, 204, 400, 401, 404, 405, 413, 431} <= set(seen.statuses), seen.statuses
    assert 0 < seen.closed < 500
    await until(lambda: not served.server.server_state.connections)
    assert (await served.ask(served.request("GET", "/health/live"))).status == 200
