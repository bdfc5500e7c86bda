"""A headless Chromium, and windows of it."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, BrowserContext, async_playwright

DESKTOP = (1200, 900)
PHONE = (390, 844)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

Window = Callable[[tuple[int, int]], Awaitable[BrowserContext]]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(_NAMES)} is installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_OPTIONS))
        yield browser
        await browser.close()


@pytest.fixture
async def window(browser: Browser) -> AsyncIterator[Window]:
    """Opens a window of a size, with storage of its own; its pages are its tabs."""
    opened: list[BrowserContext] = []

    async def open_one(size: tuple[int, int]) -> BrowserContext:
        width, height = size
        context = await browser.new_context(viewport={"width": width, "height": height})
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        await context.close()
