"""The storefront of `cart run`: shopping, two tabs, and that nothing is lost when things break.

Accessibility is checked by axe (WCAG 2.1 A and AA: https://www.w3.org/TR/WCAG21/).
"""

from collections.abc import AsyncIterator

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, Page, expect

from dev.run import DEMO_STORE, stock_demo_products
from dev.stack.stack import Stack
from dev.storefront.control import StorefrontControl
from settings import load_settings
from tests.browser.conftest import DESKTOP, PHONE, Window
from tests.conftest import settings_of_its_own
from tests.support.shop import bind_again
from tests.support.waiting import eventually

SECONDS = 30_000
"""Milliseconds that a change may take on a busy machine, after a worker was killed."""
SERIOUS = {"serious", "critical"}

expect.set_options(timeout=SECONDS)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack with the storefront and its panel, as `cart run` starts it."""
    control = StorefrontControl()
    with (
        settings_of_its_own(tmp_path_factory.mktemp("storefront")),
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("ENABLE_STOREFRONT", "true")
        env.setenv("STOREFRONT_CONTROL_URL", control.url)
        settings = load_settings()
        async with Stack(settings, echo=print) as stack, control.serving(stack):
            await stock_demo_products(settings)
            yield stack
    await bind_again()


async def opened(stack: Stack, window: BrowserContext) -> Page:
    page = await window.new_page()
    await page.goto(f"{stack.settings.api_url}/shop")
    await expect(page.locator("#products li")).to_have_count(6)
    return page


async def add(page: Page, title: str) -> None:
    await page.get_by_label(f"Add {title} to cart").click()
    await expect(page.locator("#lines")).to_contain_text(title)


async def units_held(stack: Stack, product: str) -> int:
    async with httpx.AsyncClient(base_url=stack.settings.inventory, timeout=30) as http:
        answer = await http.get(
            f"/api/v1/inventories/check/{product}", params={"storeId": DEMO_STORE}
        )
        return int(answer.json()["held"])


async def test_a_shopper_adds_changes_and_removes(running: Stack, window: Window) -> None:
    page = await opened(running, await window(DESKTOP))
    await expect(page.locator("#total")).to_have_text("It is empty")
    await add(page, "Desk lamp")
    await page.get_by_label("One Desk lamp more").click()
    await expect(page.locator("#total")).to_have_text("Total $69.00")
    await page.get_by_label("Remove Desk lamp").click()
    await expect(page.locator("#total")).to_have_text("It is empty")


async def test_the_panel_shows_each_sagas_steps_and_its_event(
    running: Stack, window: Window
) -> None:
    page = await opened(running, await window(DESKTOP))
    await add(page, "Kettle")
    saga = page.locator(".saga").first
    await expect(saga).to_contain_text("AddItem")
    await expect(saga.locator(".state")).to_have_text("committed")
    steps = saga.locator(".flow li")
    await expect(steps).to_have_count(4)
    for number, step in enumerate(
        ("reserve_inventory", "persist_cart", "refresh_cache", "publish_event")
    ):
        await expect(steps.nth(number)).to_contain_text(step)
    link = await saga.get_by_role("link").get_attribute("href")
    assert link is not None
    assert link.startswith(running.settings.temporal_ui)
    await expect(page.locator("#events")).to_contain_text("cart.item.added kettle x 1")


async def test_two_tabs_show_the_same_cart(running: Stack, window: Window) -> None:
    shopper = await window(DESKTOP)
    first, second = await opened(running, shopper), await opened(running, shopper)
    await add(first, "Backpack")
    await expect(second.locator("#lines")).to_contain_text("Backpack")
    await second.get_by_label("Remove Backpack").click()
    await expect(first.locator("#total")).to_have_text("It is empty")


async def test_too_few_units_are_said_and_nothing_is_added(running: Stack, window: Window) -> None:
    page = await opened(running, await window(DESKTOP))
    await add(page, "Signed poster")
    for _ in range(2):
        await page.get_by_label("One Signed poster more").click()
        await expect(page.get_by_label("One Signed poster more")).to_be_enabled()
    await page.get_by_label("One Signed poster more").click()
    await expect(page.locator("#message")).to_contain_text("Insufficient stock")
    await expect(page.locator("#total")).to_have_text("Total $360.00")
    await page.get_by_text("Empty the cart").click()
    await expect(page.locator("#total")).to_have_text("It is empty")


async def test_a_payment_that_fails_frees_the_cart_and_one_that_succeeds_sells_it(
    running: Stack, window: Window
) -> None:
    page = await opened(running, await window(DESKTOP))
    await add(page, "Desk lamp")
    await page.get_by_text("Check out").click()
    await expect(page.locator("#cart-actions")).to_contain_text("Checked out")
    await expect(page.get_by_label("One Desk lamp more")).to_be_disabled()
    await page.get_by_text("Let the payment fail").click()
    await expect(page.get_by_label("One Desk lamp more")).to_be_enabled()
    await page.get_by_text("Check out").click()
    await expect(page.locator("#cart-actions")).to_contain_text("Checked out")
    await page.reload()  # what is checked out is known by the cart, not by the page
    await page.get_by_text("Pay", exact=True).click()
    await expect(page.locator("#total")).to_have_text("It is empty")
    await expect(page.locator("#events")).to_contain_text("cart.order.applied")


async def test_a_killed_worker_loses_no_add(running: Stack, window: Window) -> None:
    page = await opened(running, await window(DESKTOP))
    await page.get_by_text("Kill the worker").click()
    await add(page, "Rubber plant")
    await expect(page.locator("#total")).to_have_text("Total $24.00")
    await expect(page.locator("#parts")).to_contain_text("worker: up, started")
    assert await units_held(running, "plant") == 1


async def test_a_stopped_kafka_delays_only_the_events(running: Stack, window: Window) -> None:
    page = await opened(running, await window(DESKTOP))
    await page.get_by_text("Stop Kafka").click()
    await expect(page.locator("#parts")).to_contain_text("kafka: stopped")
    await add(page, "Desk lamp")
    await page.get_by_text("Let Kafka go on").click()
    await expect(page.locator("#events")).to_contain_text("cart.item.added lamp x 1")


async def test_a_slow_inventory_delays_an_add_and_loses_none(
    running: Stack, window: Window
) -> None:
    page = await opened(running, await window(DESKTOP))
    await page.get_by_text("Make the inventory slow").click()
    await expect(page.locator("#parts")).to_contain_text("inventory: slow")
    await add(page, "Kettle")
    await page.get_by_text("Make the inventory quick").click()
    await expect(page.locator("#parts")).to_contain_text("inventory: up")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
async def test_it_is_accessible_and_fits(
    running: Stack, window: Window, size: tuple[int, int]
) -> None:
    page = await opened(running, await window(size))
    await add(page, "Desk lamp")
    width = await page.evaluate("() => document.documentElement.scrollWidth")
    assert width == size[0]
    found = (await Axe().run(page)).response["violations"]
    assert [one["id"] for one in found if one["impact"] in SERIOUS] == []


async def test_it_works_by_keyboard_alone(running: Stack, window: Window) -> None:
    page = await opened(running, await window(DESKTOP))
    await page.get_by_label("Add Desk lamp to cart").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#lines")).to_contain_text("Desk lamp")
    more = page.get_by_label("One Desk lamp more")
    await more.focus()
    await page.keyboard.press("Space")
    await expect(page.locator("#total")).to_have_text("Total $69.00")

    async def keeps_its_place() -> None:
        assert await more.evaluate("(button) => button === document.activeElement")

    await eventually(keeps_its_place)


async def test_it_is_off_unless_it_is_asked_for(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.settings.api_url, timeout=30) as http:
        assert (await http.get("/shop")).status_code == 404
