"""Runs the commands of docs/tutorials/adopt.md with the built site and the image alone.

The commands run in an empty folder. The site is the built one, at a web server. A fresh environment
with the wheel stands in for the image, and `standins/docker.py` for the container engine: neither
knows the repository. Grafana cannot be had here; its panels' queries are sent to Prometheus.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dev.stack.apps import SERVERS
from dev.stack.stack import Stack
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.deploy.prometheus import Prometheus, prometheus
from tests.deploy.queries import panels
from tests.deploy.tools import ROOT, needs

PAGE, INVENTORY = "tutorials/adopt", "tutorials/inventory"
SECONDS = 1200
# With the build of the site; far more than it takes, for a busy machine.
pytestmark = [needs("prometheus"), needs("curl"), pytest.mark.timeout(1800)]


class Blocks(HTMLParser):
    """The code blocks of a page of the site, as (language, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._language = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        words = (dict(attrs).get("class") or "").split()
        languages = [word.removeprefix("language-") for word in words if "language-" in word]
        if languages:
            [self._language] = languages
        if tag == "pre" and self._language:
            self.found.append((self._language, ""))
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._language, self._inside = "", False

    def handle_data(self, data: str) -> None:
        if self._inside:
            language, text = self.found[-1]
            self.found[-1] = (language, text + data)


def blocks(site: Path, page: str, language: str) -> list[str]:
    parser = Blocks()
    parser.feed((site / f"{page}.html").read_text())
    return [text for named, text in parser.found if named == language]


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the built site is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A fresh environment with the wheel and its dependencies, and without this checkout."""
    venv, wheels = tmp_path / "image", tmp_path / "wheels"
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    pip = (sys.executable, "-m", "pip")
    subprocess.run([*pip, "wheel", *flags, "--wheel-dir", wheels, ROOT], check=True, timeout=300)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=300)
    [wheel] = wheels.glob("*.whl")
    install = (*pip, "--python", venv / "bin/python", "install", "--no-deps", "--no-index")
    subprocess.run([*install, "--quiet", wheel], check=True, timeout=300)
    # The dependencies are those of the tests. Files `.pth` in that folder are not read, so that
    # the checkout, which is installed there as editable, stays unknown.
    [packages] = (venv / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Settings]:
    """The servers of docker-compose.yml, from the local stack."""
    with settings_of_its_own(tmp_path / "servers") as settings:
        async with Stack(settings, parts=SERVERS):
            yield settings


@pytest.fixture
async def scraping(servers: Settings, tmp_path: Path) -> AsyncIterator[Prometheus]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    async with prometheus(servers, folder) as running:
        yield running


@pytest.fixture
def engine(image: Path, servers: Settings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a terminal whose `docker` is the stand-in; ends what it has started."""
    programs, state = tmp_path / "bin", tmp_path / "containers"
    programs.mkdir()
    state.mkdir()
    shutil.copy(ROOT / "tests/deploy/standins/docker.py", programs / "docker.py")
    docker = programs / "docker"
    docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{programs}/docker.py" "$@"\n')
    docker.chmod(0o755)
    ports = {name: value for name, value in os.environ.items() if name.endswith("PORT")}
    yield ports | {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "STANDIN_VENV": str(image),
        "STANDIN_STATE": str(state),
        "STANDIN_COMPOSE": str(Path(sys.executable).with_name("docker-compose")),
    }
    for file in state.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


async def test_somebody_with_the_site_and_the_image_gets_to_a_cart_that_survives_a_fault(
    site: Path,
    address: str,
    engine: dict[str, str],
    scraping: Prometheus,
    tmp_path: Path,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    [program] = blocks(site, INVENTORY, "python")
    [override] = blocks(site, PAGE, "yaml")
    (empty / "inventory_of_mine.py").write_text(program)
    (empty / "docker-compose.override.yml").write_text(override)
    script = "\n".join(blocks(site, PAGE, "bash"))
    for old, new in {
        "https://carts.example.com": address,
        "127.0.0.1:4007": f"127.0.0.1:{engine['PORT']}",
        "127.0.0.1:4008": f"127.0.0.1:{engine['INVENTORY_PORT']}",
        "http://127.0.0.1:9090": str(scraping.http.base_url).rstrip("/"),
    }.items():
        assert old in script, old
        script = script.replace(old, new)
    # Before the page removes everything.
    before, found, after = script.partition("docker compose down")
    assert found
    output = await run(before, empty, engine)
    assert output.count("HTTP/1.1 201") == 1, output
    assert '"outcome":"committed"' in output, output
    assert '"quantity":7,' in output, output
    assert '{"available": 3, "held": 7}' in output, output
    await dashboards_are_those_of_the_files(empty, scraping)
    await run(found + after, empty, engine)


async def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Runs commands in a terminal's shell; their output."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output = (await process.communicate())[0].decode()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, output
    return output


async def dashboards_are_those_of_the_files(folder: Path, scraping: Prometheus) -> None:
    """Grafana would find them where Compose mounts them, and Prometheus answers their queries."""
    files = sorted((folder / "deploy/grafana/dashboards").glob("*.json"))
    assert len(files) == 5
    for file in files:
        board = json.loads(file.read_text())
        assert board["panels"]
        assert board["title"].startswith("Cart: ")
    for board, title, query in panels(folder / "deploy/grafana/dashboards"):
        await scraping.ask("query", query=query)
        assert title, board
    for name in ("alerts.yml", "prometheus.yml"):
        assert (folder / "deploy/prometheus" / name).exists()
