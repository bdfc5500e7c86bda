"""The other services of the platform, on the stack's broker."""

from collections.abc import AsyncIterator

import pytest

from dev.stack.stack import Stack
from tests.support.events import OtherServices, other_services


@pytest.fixture
async def others(stack: Stack) -> AsyncIterator[OtherServices]:
    """Who sends events to the service."""
    async with other_services(stack.settings) as services:
        yield services
