"""Python clients: openapi-python-client with mypy strict, and OpenAPI Generator with mypy."""

import shutil
from pathlib import Path

from tests.clients.conftest import Buy
from tests.clients.tools import HERE, openapi_generator, python, run, tool


async def test_openapi_python_client(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    interpreter = python()
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []\n")
    generate = ("-m", "openapi_python_client", "generate", "--meta", "none")
    files = ("--path", openapi, "--output-path", tmp_path / "cart_client", "--config", config)
    assert "Warning" not in run(interpreter, *generate, *files)
    program = shutil.copy(HERE / "python" / "openapi_python_client_shop.py", tmp_path)
    run(interpreter, "-m", "mypy", "--strict", "cart_client", program, cwd=tmp_path)
    await buy(interpreter, program, cwd=tmp_path)


async def test_openapi_generator(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    tool("java", "mvn")
    interpreter = python()
    package = "--additional-properties=packageName=cart_client"
    openapi_generator(openapi, "python", tmp_path, package)
    program = shutil.copy(HERE / "python" / "openapi_generator_shop.py", tmp_path)
    run(interpreter, "-m", "mypy", "cart_client", program, cwd=tmp_path)
    await buy(interpreter, program, cwd=tmp_path)
