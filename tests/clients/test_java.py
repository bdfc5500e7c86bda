"""The Java client of OpenAPI Generator for the HTTP client of the JDK."""

from pathlib import Path

from tests.clients.conftest import Buy
from tests.clients.tools import HERE, class_path, jars, openapi_generator, run, tool


async def test_openapi_generator(openapi: Path, tmp_path: Path, buy: Buy) -> None:
    tool("java", "javac", "mvn")
    generated = tmp_path / "generated"
    openapi_generator(openapi, "java", generated, "--library", "native")
    sources = sorted((generated / "src" / "main" / "java").rglob("*.java"))
    classes, libraries = tmp_path / "classes", jars() / "client" / "*"
    run("javac", "-d", classes, *class_path(libraries), *sources, HERE / "java" / "Shop.java")
    await buy("java", *class_path(classes, libraries), "Shop", cwd=tmp_path)
