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
_SCRIPT = """\
SwaggerUIBundle({spec: openapi, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""


def files(config: MkDocsConfig) -> Iterator[File]:
    document = json.loads((Path(config.docs_dir) / "openapi.json").read_text())
    document["servers"] = [{"url": LOCAL_API, "description": "The API of `make run`."}]
    assets = resources.files("fastapi_standalone_docs") / "static" / "swagger"
    page = resources.files("api") / "swagger"
    texts = {
        "index.html": _beside_its_files((page / "index.html").read_text()),
        "page.js": _SCRIPT,
        "page.css": (page / "page.css").read_text(),
        "document.js": f"const openapi = {json.dumps(document)};\n",
        **{name: (assets / name).read_text() for name in _ASSETS},
    }
    for name, text in texts.items():
        yield File.generated(config, f"swagger/{name}", content=text)


def _beside_its_files(page: str) -> str:
    """The service's own page, with its files in the same folder, and the document in a script."""
    script = '<script src="page.js">'
    local = page.replace("docs/assets/", "").replace("docs/", "")
    return local.replace(script, f'<script src="document.js"></script>\n{script}')
