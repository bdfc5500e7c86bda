"""Content-Type, Content-Encoding and Accept in every spelling that RFC 9110 allows.

8.3.1: types and names of parameters ignore case, values may be quoted. 15.5.15/16: what is not
supported gets 415 that says what would be. 12.5.1: the most specific range of `Accept` decides.
"""

import gzip
import json
from typing import Any

import pytest

from models.outcomes import Outcome
from tests.fakes.api import ITEM, URL, FakeApi, record_of, result_of
from tests.http.conftest import Served

BODY = json.dumps(ITEM).encode()
JSON_TYPES = [
    "application/json",
    "Application/JSON",
    "application/json;charset=utf-8",
    "application/json; charset=UTF-8",
    'application/json; charset="utf-8"',
    'application/json ; Charset = "UTF-8"'.replace(" = ", "="),
    "application/json;  charset=utf8",
    "application/json;",
    "application/json; ; charset=utf-8;",
    "application/json; odata.metadata=minimal",
    'application/json; profile="https://example.com/a,b;c"; charset=utf-8',
    'application/json; note="say \\"hi\\""',
    "application/vnd.api+json",
    "application/ld+json; charset=utf-8",
    "application/merge-patch+JSON",
    "application/json, application/json",
    " application/json\t",
    "",
    None,
]
OTHER_TYPES = [
    "text/plain",
    "text/json",
    "application/xml",
    "application/jsonx",
    "application/json+xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "json",
    "application",
    "/json",
    "application/",
    "application/json text",
    "application/json; charset",
    "application/json, text/plain",
    "*/*",
]


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    return api


@pytest.mark.parametrize("given", JSON_TYPES)
async def test_each_spelling_of_json_is_read(api: FakeApi, given: str | None) -> None:
    headers = {} if given is None else {"Content-Type": given}
    answer = await api.post(content=BODY, headers=headers)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("given", OTHER_TYPES)
async def test_another_type_is_refused(api: FakeApi, given: str) -> None:
    answer = await api.post(content=BODY, headers={"Content-Type": given})
    assert answer.status_code == 415
    assert answer.json()["message"] == "Content-Type must be application/json"
    assert answer.headers["Accept"] == "application/json"
    assert api.gateway.started == []


@pytest.mark.parametrize("charset", ["latin-1", "ISO-8859-1", '"utf-16"', "us-ascii", "cp1252"])
async def test_another_charset_is_refused_as_what_it_is(api: FakeApi, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = await api.post(content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (415, "Charset must be UTF-8")


async def test_several_content_type_lines_are_read_if_each_is_json(served: Served) -> None:
    for second, status in (("application/json;charset=utf-8", 201), ("text/plain", 415)):
        lines = ("Content-Type: application/json", f"content-type: {second}")
        assert (await served.ask(served.add(*lines))).status == status


async def test_without_a_body_the_type_does_not_matter(api: FakeApi) -> None:
    headers = api.token() | {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    assert (await api.client.delete(URL, headers=headers)).status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "Deflate", "zstd", "identity, gzip", "x-gzip"])
async def test_compressed_content_is_refused_as_what_it_is(api: FakeApi, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await api.post(content=gzip.compress(BODY), headers=headers)
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "identity"
    assert answer.json()["code"] == "content_encoding_not_supported"
    assert "Content-Encoding" in answer.json()["message"]


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity"])
async def test_identity_is_no_coding(api: FakeApi, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert (await api.post(content=BODY, headers=headers)).status_code == 201


async def test_a_byte_order_mark_is_ignored(api: FakeApi) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await api.post(content=b"\xef\xbb\xbf" + BODY, headers=headers)).status_code == 201
    answer = await api.post(content=json.dumps(ITEM).encode("utf-16"), headers=headers)
    assert answer.json()["details"] == [
        {"code": "malformed_json", "field": "body", "message": "Body must be UTF-8"}
    ]


async def test_the_log_level_is_set_by_what_curl_sends(api: FakeApi) -> None:
    """The contract's curl has `-d` without a Content-Type."""
    form = "application/x-www-form-urlencoded"
    for given in (form, f"{form}; charset=UTF-8", "application/json", None):
        headers = api.token(role="admin") | ({"Content-Type": given} if given else {})
        answer = await api.client.post(
            "/admin/log-level", content=b'{"level": "debug"}', headers=headers
        )
        assert answer.status_code == 200, answer.text
    headers = api.token(role="admin") | {"Content-Type": "text/plain"}
    answer = await api.client.post("/admin/log-level", content=b"{}", headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("accept", "allowed"),
    [
        ("*/*", True),
        ("application/*", True),
        ("APPLICATION/Json", True),
        ("text/html, application/json;q=0.1", True),
        ("text/html;level=1;q=1.0, */*;q=0.001", True),
        ("application/json ; q=0.5", True),
        ('application/json;profile="a,b;q=0"', True),
        ("text/html,,application/json", True),
        ("application/json, application/json;q=0", True),
        ("application/json;q=0, */*", False),
        ("application/*;q=0, */*;q=1", False),
        ("*/*;q=0", False),
        ("*/*;q=0.000", False),
        ("application/problem+json", False),
        ("text/*", False),
        ("*", False),
        ("application/json;q=2", False),
        ("*/json", False),
    ],
)
async def test_accept(api: FakeApi, accept: str, allowed: bool) -> None:
    answer = await api.get_with(Accept=accept)
    assert (answer.status_code == 404) == allowed
    assert answer.status_code in {404, 406}


async def test_accept_may_stand_in_several_lines(served: Served) -> None:
    for second, status in (("application/json", 200), ("text/plain", 406)):
        lines = ("Accept: text/html", f"Accept: {second}")
        assert (await served.ask(served.request("GET", URL, *lines))).status == status


@pytest.mark.parametrize(
    "value", ["bytes=0-3", "bytes=0-3,5-9,-1", "bytes=9999999999-", "lines=1-2", "bytes=x", ""]
)
async def test_files_are_sent_whole_whatever_range_is_asked_for(api: FakeApi, value: str) -> None:
    """14.2: a server may ignore `Range`, and must where it does not know the unit."""
    url = "/docs/assets/swagger-ui.css"
    whole = await api.client.get(url)
    answer = await api.client.get(url, headers={"Range": value})
    assert (answer.status_code, answer.content) == (200, whole.content)
    known = await api.client.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert known.status_code == 304


async def test_a_part_of_a_cart_cannot_be_put(api: FakeApi) -> None:
    """14.5: taken for the whole, a part would overwrite the rest."""
    headers = api.token() | {"Content-Range": "bytes 0-20/40"}
    body = {"productId": "p", "quantity": 1}
    answer = await api.client.put(
        "/api/v1/cart/507f1f77bcf86cd799439013", json=body, headers=headers
    )
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (400, "Content-Range")
    assert api.gateway.started == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept-Encoding": "gzip, deflate, br, zstd"},
        {"Accept-Encoding": "identity;q=0"},
        {"Accept-Encoding": "*;q=0"},
        {"Accept-Charset": "iso-8859-1"},
        {"Accept-Language": "tlh"},
        {"TE": "trailers"},
        {"Range": "bytes=0-10"},
        {"Cookie": "a=b; c"},
        {"Prefer": "return=minimal"},
        {"X-Forwarded-For": "not an address"},
        {"Forwarded": "for=unknown"},
    ],
)
async def test_other_negotiation_is_harmless(served: Served, headers: dict[str, Any]) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    assert (await served.ask(served.request("GET", URL, *lines))).status == 200
