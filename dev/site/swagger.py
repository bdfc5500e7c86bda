"""The page `swagger/index.html`: the OpenAPI document in Swagger UI, without another host. Its
requests go to the API of `make run`, which must allow the page's origin (`CORS_ORIGINS`).
"""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File

LOCAL_API = "http://127.0.0.1:4007"
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js")
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cart Service API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="swagger-ui.css">
<link rel="stylesheet" href="page.css">
<div id="swagger-ui"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="document.js"></script>
<script src="page.js"></script>
</html>
"""
_SCRIPT = """\
SwaggerUIBundle({spec: openapi, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""


def files(config: MkDocsConfig) -> Iterator[File]:
    document = json.loads((Path(config.docs_dir) / "openapi.json").read_text())
    document["servers"] = [{"url": LOCAL_API, "description": "The API of `make run`."}]
    assets = resources.files("fastapi_standalone_docs") / "static" / "swagger"
    texts = {
        "index.html": _PAGE,
        "page.js": _SCRIPT,
        "page.css": (resources.files("api") / "swagger" / "page.css").read_text(),
        "document.js": f"const openapi = {json.dumps(document)};\n",
        **{name: (assets / name).read_text() for name in _ASSETS},
    }
    for name, text in texts.items():
        yield File.generated(config, f"swagger/{name}", content=text)
