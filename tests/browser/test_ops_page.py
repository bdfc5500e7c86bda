"""The operators' page in Chromium, on the running service: what is stuck, a saga, and a phone.

Accessibility is checked by axe (WCAG 2.1 A and AA: https://www.w3.org/TR/WCAG21/).
"""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from dev.stack.stack import Stack
from tests.browser.conftest import DESKTOP, PHONE, Window
from tests.support.shop import Shop
from tests.support.waiting import eventually

MILLISECONDS = 30_000
"""The time that a change may take on a busy machine."""
SERIOUS = {"serious", "critical"}

expect.set_options(timeout=MILLISECONDS)


async def signed_in(
    shop: Shop, window: Window, view: str, *, size: tuple[int, int] = DESKTOP, **claims: str
) -> Page:
    """A view of the page, for an admin of all stores unless `claims` say otherwise."""
    admin = shop.buyer(role="admin", **claims)
    page = await (await window(size)).new_page()
    await page.goto(f"{shop.world.settings.api_url}/ops#{view}")
    await page.get_by_label("Bearer token").fill(admin.headers["Authorization"])
    await page.keyboard.press("Enter")
    await expect(page.locator("#admin")).to_have_text(admin.user_id)
    await expect(page.locator("#status")).to_contain_text("As of")
    return page


async def assert_accessible(page: Page) -> None:
    found = await Axe().run(page)
    serious = [one for one in found.response["violations"] if one["impact"] in SERIOUS]
    assert not serious, serious


async def undone_saga(shop: Shop) -> str:
    """The user of a saga that was undone, once it is listed."""
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    await shop.fault("reserve", "error", times=3)
    assert (await buyer.add(quantity=1)).status_code == 503

    async def listed() -> None:
        query = f"CartStoreId = '{shop.store_id}' AND CartOutcome = 'aborted'"
        assert [run async for run in shop.world.temporal.list_workflows(query)]

    await eventually(listed, timeout=60)
    return buyer.user_id


async def test_from_the_undone_sagas_to_the_steps_of_one(shop: Shop, window: Window) -> None:
    user = await undone_saga(shop)
    page = await signed_in(shop, window, f"undone?storeId={shop.store_id}")
    row = page.get_by_role("row").filter(has_text=user)
    await expect(row).to_contain_text("aborted")
    await expect(row).to_contain_text("inventory is unavailable")
    await assert_accessible(page)

    await row.get_by_role("link", name=user).click()
    view = page.locator("#view")
    await expect(view).to_contain_text(f"{shop.store_id}/{user}")
    await expect(view).to_contain_text("reserve_inventory")
    await expect(view).to_contain_text("It was undone and changed nothing")
    link = await view.get_by_role("link", name="In the Web UI").get_attribute("href")
    assert link is not None
    assert link.startswith(shop.world.settings.temporal_ui)
    await assert_accessible(page)


async def test_each_view_on_a_phone(shop: Shop, window: Window) -> None:
    user = await undone_saga(shop)
    page = await signed_in(shop, window, "stuck", size=PHONE)
    links = page.get_by_role("navigation").get_by_role("link")
    for name in await links.all_text_contents():
        await links.get_by_text(name, exact=True).click()
        await expect(page.get_by_role("heading", name=name)).to_be_focused()
        if name == "Cart or saga":
            await page.get_by_label("STORE/USER").fill(f"{shop.store_id}/{user}")
            await page.get_by_role("button", name="Show").click()
            await expect(page.locator("#view")).to_contain_text("What to do next")
        await expect(page.locator("#status")).to_contain_text("As of")
        wide = await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, f"{name} scrolls sideways"
        await assert_accessible(page)


async def test_the_keyboard_is_enough(shop: Shop, window: Window) -> None:
    user = await undone_saga(shop)
    page = await signed_in(shop, window, "stuck", store=shop.store_id)
    await page.keyboard.press("Shift+Tab")
    await expect(page.get_by_role("link", name="Drift")).to_be_focused()
    await page.get_by_role("link", name="Undone").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Undone")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Store", exact=True)).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.type(user)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row").filter(has_text=user)).to_contain_text("aborted")


async def test_an_admin_of_a_store_sees_that_store(shop: Shop, window: Window) -> None:
    user = await undone_saga(shop)
    page = await signed_in(shop, window, "undone", store=shop.store_id)
    await expect(page.get_by_role("link", name="Relays")).to_have_count(0)
    await expect(page.get_by_label("Store", exact=True)).to_have_value(shop.store_id)
    await expect(page.get_by_role("row").filter(has_text=user)).to_be_visible()


async def test_a_relay_is_paused_and_resumed_with_a_reason(shop: Shop, window: Window) -> None:
    settings = shop.world.settings
    relay = f"release/{settings.relay_shards - 1}"
    admin = shop.buyer(role="admin")
    body = {"relay": relay, "reason": "a test"}
    path = f"{settings.api_url}/admin/ops/pause"
    paused = await shop.world.http.post(path, json=body, headers=admin.headers)
    assert paused.status_code == 200, paused.text
    page = await signed_in(shop, window, "relays")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=relay, exact=True))
    await expect(row).to_contain_text("paused")

    await row.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog", name=f"Resume relay {relay}")
    await expect(dialog).to_contain_text("Lets the paused relay continue")
    await expect(page.get_by_label("Reason")).to_be_focused()
    await assert_accessible(page)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.get_by_role("link", name="Relays").click()
    await expect(row).to_contain_text("paused")

    await row.get_by_role("button", name="Resume").press("Enter")
    await page.keyboard.type("it is over")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#done")).to_have_text(f"sent resume to: {relay}")

    async def resumed() -> None:
        answer = await shop.world.http.get("/admin/ops/pending", headers=admin.headers)
        relays = {one["relay"]: one for one in answer.json()["relays"]}
        assert relay not in relays or relays[relay]["pausedSince"] is None

    await eventually(resumed, timeout=60)


async def test_a_token_that_may_not_is_refused_and_forgotten(
    stack: Stack, shop: Shop, window: Window
) -> None:
    page = await (await window(DESKTOP)).new_page()
    await page.goto(f"{stack.settings.api_url}/ops")
    await assert_accessible(page)
    await page.get_by_label("Bearer token").fill(shop.buyer().headers["Authorization"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("Administrators of a store only")
    await expect(page.get_by_label("Bearer token")).to_be_focused()
    assert await page.evaluate("sessionStorage.length + localStorage.length") == 0


async def test_the_page_loads_nothing_from_another_host(shop: Shop, window: Window) -> None:
    page = await (await window(DESKTOP)).new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{shop.world.settings.api_url}/ops")
    await page.get_by_label("Bearer token").fill(shop.buyer(role="admin").headers["Authorization"])
    await page.keyboard.press("Enter")
    await expect(page.locator("#status")).to_contain_text("As of")
    own = f"{shop.world.settings.api_url}/"
    assert asked
    assert [url for url in asked if not url.startswith((own, "data:"))] == []
    assert errors == []
