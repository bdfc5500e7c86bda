"""The Go client of oapi-codegen, with `go vet`."""

import shutil
from pathlib import Path

from tests.clients.conftest import Buy
from tests.clients.tools import HERE, oapi_codegen, run


async def test_oapi_codegen(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    generator = oapi_codegen()
    project = shutil.copytree(HERE / "go", tmp_path / "project")
    client = project / "client" / "client.go"
    client.parent.mkdir()
    client.write_text(
        run(generator, "-package", "client", "-generate", "types,client", openapi, cwd=project)
    )
    run("go", "vet", "./...", cwd=project)
    run("go", "build", "-o", "shop", ".", cwd=project)
    await buy(project / "shop", cwd=project)
