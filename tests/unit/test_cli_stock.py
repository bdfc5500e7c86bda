"""`cart stock` against a fake inventory."""

import pytest

from tests.unit.cli_standin import (
    FakeResponse,
    ReceivedRequest,
    clear_environment,
    run,
    standin,
    use_proxies,
)

STOCK = {"available": 5, "held": 2, "sold": 1}


def test_set_puts_the_number_and_shows_the_stock(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[ReceivedRequest] = []

    def answer(request: ReceivedRequest) -> FakeResponse:
        asked.append(request)
        return FakeResponse(200, STOCK)

    with standin(answer) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        ended = run(capsys, "stock", "set", "store-1", "headphones", "5")

    assert ended.code == 0
    (request,) = asked
    assert (request.method, request.path) == ("PUT", "/api/v1/inventories/stock/headphones")
    assert request.query == {"storeId": "store-1"}
    assert request.body == {"available": 5}
    cells = [cell.strip() for cell in ended.out.replace("┃", "│").split("│")]
    for shown in ("available", "held", "sold", "store-1", "headphones", "5", "2", "1"):
        assert any(shown in cell for cell in cells)


def test_set_can_set_title_and_price_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[ReceivedRequest] = []

    def answer(request: ReceivedRequest) -> FakeResponse:
        asked.append(request)
        return FakeResponse(200, STOCK)

    words = ("stock", "set", "store-1", "headphones", "5", "--title", "Headphones")
    with standin(answer) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        assert run(capsys, *words).code == 2
        assert asked == []
        assert run(capsys, *words, "--price", "79.99").code == 0
    product, stock = asked
    assert (product.method, product.path) == ("PUT", "/api/v1/products/headphones")
    assert product.body == {"title": "Headphones", "price": 79.99}
    assert stock.body == {"available": 5}


def test_no_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with standin(lambda _: FakeResponse(200, STOCK)) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        use_proxies(monkeypatch)
        ended = run(capsys, "stock", "show", "store-1", "headphones")
    assert (ended.code, ended.err) == (0, "")


def test_show_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with standin(lambda _: FakeResponse(200, STOCK)) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        ended = run(capsys, "stock", "show", "store-1", "headphones", "--json")

    assert ended.code == 0
    assert ended.json == {"storeId": "store-1", "productId": "headphones", **STOCK}


def test_a_refusal_is_shown_with_its_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {
        "error": "Validation failed",
        "details": [{"field": "productId", "message": "is too long"}],
    }
    with standin(lambda _: FakeResponse(400, refusal)) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        ended = run(capsys, "stock", "show", "store-1", "x" * 65)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"the inventory at http://127.0.0.1:{port} answered 400: productId: is too long\n"
    )


def test_an_unexpected_response_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with standin(lambda _: FakeResponse(200, {"hello": "world"})) as port:
        clear_environment(monkeypatch, INVENTORY_PORT=port)
        ended = run(capsys, "stock", "show", "store-1", "headphones")

    assert ended.code == 1
    assert "Traceback" not in ended.err


def test_no_inventory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)

    ended = run(capsys, "stock", "show", "store-1", "headphones")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "the inventory does not answer at http://127.0.0.1:1 (connection refused): "
        "start it with make run\n"
    )


def test_the_login_of_an_external_inventory_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch, INVENTORY_SERVICE_URL="http://me:hunter2@127.0.0.1:1")

    ended = run(capsys, "stock", "show", "store-1", "headphones")

    assert ended.code == 1
    assert "hunter2" not in ended.err
    assert ended.err.endswith("check INVENTORY_SERVICE_URL\n")


def test_a_negative_number_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "stock", "set", "store-1", "headphones", "--", "-1").code == 2
