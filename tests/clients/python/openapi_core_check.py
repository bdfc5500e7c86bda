"""openapi-core takes the document, its examples and prices: `openapi_core_check.py DOCUMENT`."""

import json
import sys
from pathlib import Path

from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

path = Path(sys.argv[1])
document = json.loads(path.read_text())
api = OpenAPI.from_file_path(str(path))
[item] = document["components"]["schemas"]["AddItemRequest"]["examples"]
responses = document["paths"]["/api/v1/cart/{storeId}/store"]["post"]["responses"]
cart = responses["201"]["content"]["application/json"]["example"]
short = responses["2XX"]["content"]["application/json"]["example"]


def request(body: dict[str, object]) -> MockRequest:
    return MockRequest(
        "http://localhost",
        "post",
        "/api/v1/cart/store-1/store",
        headers={"Authorization": "Bearer a.b.c"},
        data=json.dumps(body).encode(),
    )


for cents in range(0, 100_000_001, 499_979):
    api.validate_request(request(item | {"productPrice": cents / 100}))
headers = {
    name: str(document["components"]["headers"][name]["example"])
    for name in responses["201"]["headers"]
}
for status, body in ((201, cart), (200, short)):
    answer = MockResponse(json.dumps(body).encode(), status_code=status, headers=headers)
    api.validate_response(request(item), answer)
sys.stdout.write("ok\n")
