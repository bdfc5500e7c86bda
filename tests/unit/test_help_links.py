"""Errors link to their section of docs/errors.md, when the settings say where it is."""

import httpx
import pytest

from tests.fakes.api import STORE, URL, USER, FakeApi, cart_of, settings_for_tests

PAGE = "https://docs.example.com/errors.html"


@pytest.fixture
def linking() -> FakeApi:
    return FakeApi(settings_for_tests(error_docs_url=PAGE))


async def test_an_error_links_to_the_section_of_its_code(linking: FakeApi) -> None:
    answer = await linking.post({"productId": "headphones"})
    assert answer.json()["code"] == "validation_failed"
    assert answer.headers["link"] == f'<{PAGE}#validation_failed>; rel="help"'


async def test_so_does_an_error_outside_of_the_routes(linking: FakeApi) -> None:
    answer = await linking.get("/api/v1/nothing")
    assert answer.headers["link"] == f'<{PAGE}#route_not_found>; rel="help"'


async def test_the_body_and_the_other_headers_are_as_without_links(linking: FakeApi) -> None:
    def comparable(answer: httpx.Response) -> dict[str, str]:
        return {
            name: value
            for name, value in answer.headers.items()
            if name not in {"link", "x-request-id"}
        }

    linked, plain = await linking.get("/nowhere"), await FakeApi().get("/nowhere")
    assert linked.content == plain.content
    assert comparable(linked) == comparable(plain)
    assert "link" not in plain.headers


async def test_an_answer_that_is_no_error_has_no_link(linking: FakeApi) -> None:
    linking.mongo.carts[STORE, USER] = cart_of()
    answer = await linking.get(URL)
    assert answer.status_code == 200
    assert "link" not in answer.headers
