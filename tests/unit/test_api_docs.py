"""The API reference page works on its own: this service serves all of it, and nothing is inline."""

from html.parser import HTMLParser
from urllib.parse import urljoin

from tests.fakes.api import FakeApi

PAGE = "/docs"


class Page(HTMLParser):
    """What a page loads, and what it has inline."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self.inline.append(data)


async def test_the_page_is_swagger_ui_and_this_service_serves_all_of_it() -> None:
    api = FakeApi()
    page = await api.client.get(PAGE)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    loaded = [address for address in Page(page.text).loaded if address != "data:,"]
    texts = {}
    for address in loaded:
        answer = await api.client.get(urljoin(PAGE, address))
        assert answer.status_code == 200, address
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind == ("text/css" if address.endswith(".css") else "text/javascript"), address
        texts[address] = answer.text
    assert "SwaggerUIBundle" in texts["docs/assets/swagger-ui-bundle.js"]
    assert ".swagger-ui" in texts["docs/assets/swagger-ui.css"]
    assert 'url: "openapi.json"' in texts["docs/page.js"]
    document = await api.client.get(urljoin(PAGE, "openapi.json"))
    assert document.json() == api.app.openapi()


async def test_the_page_names_no_other_host() -> None:
    api = FakeApi()
    for address in (PAGE, "/docs/page.js", "/docs/page.css"):
        assert "//" not in (await api.client.get(address)).text
    # Swagger UI would send the document's address to its own validator.
    assert "validatorUrl: null" in (await api.client.get("/docs/page.js")).text


async def test_the_page_may_load_and_run_only_what_this_service_serves() -> None:
    page = await FakeApi().client.get(PAGE)
    assert Page(page.text).inline == []
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_only_the_files_of_swagger_ui_are_served() -> None:
    api = FakeApi()
    for address in ("/docs/assets/", "/docs/assets/../redoc/redoc.standalone.js", "/docs/none.js"):
        assert (await api.client.get(address)).status_code == 404, address
    encoded = "/docs/assets/%2e%2e/%2e%2e/standalone_docs.py"
    assert (await api.client.get(encoded)).status_code == 404
