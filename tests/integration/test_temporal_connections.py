"""Temporal as operators get it wrong: the error says which setting it is.

The SDK's own words are those of gRPC: "Namespace nowhere is not found", "transport error".
"""

import asyncio
import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import worker
from cli.doctor import temporal
from cli.doctor.results import CheckReport, Part, Status
from dev.stack.ports import more_free_ports
from models.errors import DependencyRefuses, DependencyUnavailable
from settings import LOCALHOST
from tests.support.certificates import certificates_in
from tests.support.shop import World
from tests.support.streams import copy_stream
from tests.support.waiting import eventually
from workflows.connection import check_namespace, connect


async def test_a_namespace_that_does_not_exist_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    client = await connect(world.settings)
    with pytest.raises(DependencyRefuses, match=r"nowhere is not found.*: see TEMPORAL_NAMESPACE"):
        await check_namespace(client)
    report = CheckReport()
    await temporal.check_temporal(world.settings, report)
    [found] = [one for one in report.results if one.part == Part.TEMPORAL]
    assert "no namespace 'nowhere'" in found.what


async def test_a_worker_waits_for_its_namespace_and_logs_once_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    stopping = asyncio.Event()
    with capture_logs() as logs:
        connecting = asyncio.create_task(worker._connect(world.settings, stopping))
        await asyncio.sleep(2.5)  # of two tries
        stopping.set()
        assert await connecting is None
    [line] = [one for one in logs if one.get("dependency") == "temporal"]
    assert line["event"] == "dependency_refuses"
    assert "TEMPORAL_NAMESPACE" in line["reason"]


async def test_tls_towards_a_server_without_it_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    at = f"{LOCALHOST}:{world.settings.temporal_port}"
    with pytest.raises(DependencyUnavailable, match=f"cannot connect to {at} with TLS"):
        await connect(world.settings)


async def test_an_own_authority_is_one_setting(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy that ends TLS, as an ingress does."""
    certificates = certificates_in(tmp_path)
    [port] = more_free_ports(1)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(
            LOCALHOST, world.settings.temporal_port
        )
        await asyncio.gather(copy_stream(reader, up_writer), copy_stream(up_reader, writer))

    tls: ssl.SSLContext = certificates.server_tls()
    tls.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(relay, LOCALHOST, port, ssl=tls)
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"localhost:{port}")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    with pytest.raises(DependencyUnavailable, match=f"localhost:{port} with TLS"):
        await connect(world.settings)
    monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(certificates.authority))
    await check_namespace(await connect(world.settings))
    report = CheckReport()

    async def well() -> None:
        report.results.clear()
        await temporal.check_temporal(world.settings, report)
        [found] = [one for one in report.results if one.part == Part.TEMPORAL]
        assert found.state is not Status.FAILED

    await eventually(well)
    server.close()
