"""A producer for events of other services, on the stack's broker."""

from collections.abc import AsyncIterator

import pytest

from dev.stack.stack import Stack
from tests.support.events import OtherServices, other_services


@pytest.fixture
async def others(stack: Stack) -> AsyncIterator[OtherServices]:
    """Sends events to the service."""
    async with other_services(stack.settings) as services:
        yield services
