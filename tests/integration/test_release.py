"""A release and a rollback during open sagas, with two versions of the worker.

The commands are those of docs/deploy.md; task queue, deployment and relay belong to the test.
"""

import asyncio
import os
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import VersioningBehavior

from cli.doctor.results import CheckReport, CheckResult, Part, Status
from cli.doctor.temporal import check_temporal
from dev.stack import binaries
from models.effects import EffectKind
from models.outcomes import Outcome
from settings import LOCALHOST, Settings
from tests.support.relays import SHARDS
from tests.support.shop import Shop
from tests.support.waiting import eventually
from tests.support.workers import faulty_worker_of
from tests.workflows.conftest import Bench
from workflows import ids
from workflows.gateway import CartGateway

OLD, NEW = "1.0.0", "1.1.0"
CURRENT = "worker deployment set-current-version"
RAMPING = "worker deployment set-ramping-version"
UNVERSIONED = f"{CURRENT} --deployment-name cart --unversioned"
AnyHandle = WorkflowHandle[object, object]


@dataclass
class Release:
    """A deployment with two versions, and the commands of an operator."""

    shop: Shop
    settings: Settings
    root: Path

    async def operator(self, command: str, build_id: str = "", run: AnyHandle | None = None) -> str:
        """Runs the command of the guide that begins with `command`; its output."""
        guide = (self.root / "docs/deploy.md").read_text().replace(" \\\n", "")
        found = re.search(rf"^temporal ({command} .*)$", guide, re.MULTILINE)
        assert found is not None, f"docs/deploy.md has no {command}"
        name = self.settings.temporal_deployment_name
        line = re.sub(r"(--\S*deployment-name) \S+", rf"\1 {name}", found[1])
        line = re.sub(r"(--\S*build-id) \S+", rf"\1 {build_id}", line)
        line = re.sub(r"'cart:\S+'", f"'{name}:{build_id}'", line)
        if run is not None:
            line = line.replace("cart/STORE/USER", run.id)
        process = await asyncio.create_subprocess_exec(
            *(str(binaries.temporal()), *shlex.split(line)),
            env=os.environ | {"TEMPORAL_ADDRESS": f"{LOCALHOST}:{self.settings.temporal_port}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    @asynccontextmanager
    async def worker(self, build_id: str) -> AsyncIterator[Bench]:
        """Runs a worker of this version; Temporal knows the version inside."""
        settings = self.settings.model_copy(update={"temporal_worker_build_id": build_id})
        queue = settings.temporal_task_queue
        async with faulty_worker_of(self.shop.world, settings, relays_at=queue) as running:
            await eventually(lambda: self.operator("worker deployment describe-version", build_id))
            yield Bench(self.shop, running.faults, queue)
            running.faults.heal()

    async def doctor(self, build_id: str) -> dict[str, CheckResult]:
        """What `cart doctor` says of Temporal where this version's settings are."""
        report = CheckReport()
        settings = self.settings.model_copy(update={"temporal_worker_build_id": build_id})
        await check_temporal(settings, report)
        return {finding.part: finding for finding in report.results}

    async def version_of(self, run: AnyHandle) -> str:
        """The version to which the run is pinned."""
        info = (await run.describe()).raw_description.workflow_execution_info.versioning_info
        assert info.behavior == VersioningBehavior.PINNED.value
        return info.deployment_version.build_id


@pytest.fixture
def release(shop: Shop, project_root: Path) -> Release:
    own = f"release-{uuid4().hex[:8]}"
    settings = shop.world.settings.model_copy(
        update={"temporal_task_queue": own, "temporal_deployment_name": own}
    )
    return Release(shop, settings, project_root)


async def test_open_sagas_end_on_their_version_and_relays_move_to_the_new_one(
    release: Release,
) -> None:
    shop = release.shop
    await shop.stock("headphones", 100)
    runs: dict[AnyHandle, str] = {}

    async with release.worker(OLD) as old:
        assert (await release.doctor(OLD))[Part.VERSION].state is Status.FAILED
        await release.operator(CURRENT, OLD)
        arrived, go_on = old.faults.hold("reserve")
        before = await old.start(shop.buyer())
        runs[before] = OLD
        await arrived.wait()
        relay = await paused_relay(release)
        await eventually(lambda: is_on(release, relay, OLD))

        async with release.worker(NEW) as new:
            await release.operator(RAMPING, NEW)
            assert (await release.doctor(NEW))[Part.VERSION].state is Status.WARN
            await release.operator(CURRENT, NEW)
            found = await release.doctor(NEW)
            assert {found[Part.VERSION].state, found[Part.WORKER].state} == {Status.OK}
            after = await new.start(shop.buyer())
            runs[after] = NEW
            assert (await after.result()).outcome is Outcome.COMMITTED
            assert (await before.describe()).status is WorkflowExecutionStatus.RUNNING
            go_on.set()
            assert (await before.result()).outcome is Outcome.COMMITTED
            await relay.signal(ids.WAKE)
            await eventually(lambda: is_on(release, relay, NEW))
            await eventually(lambda: is_drained(release, OLD))

            # The rollback, during another saga.
            arrived, go_on = new.faults.hold("reserve")
            caught = await new.start(shop.buyer())
            runs[caught] = NEW
            await arrived.wait()
            await release.operator(CURRENT, OLD)
            again = await old.start(shop.buyer())
            runs[again] = OLD
            assert (await again.result()).outcome is Outcome.COMMITTED
            go_on.set()
            assert (await caught.result()).outcome is Outcome.COMMITTED

        # The relay has been idle since, and its version has no worker.
        assert await release.version_of(relay) == NEW
        await release.operator("workflow update-options", OLD, relay)
        await relay.signal(ids.WAKE)
        await eventually(lambda: is_on(release, relay, OLD))
        await release.operator(UNVERSIONED)

    await relay.terminate("end of the test")
    for run, version in runs.items():
        assert await release.version_of(run) == version
        assert (await run.describe()).status is WorkflowExecutionStatus.COMPLETED
    await shop.assert_consistent()


async def paused_relay(release: Release) -> AnyHandle:
    """Starts a relay of this test, paused, so that it stays open."""
    temporal = release.shop.world.temporal
    gateway = CartGateway(
        temporal, task_queue=release.settings.temporal_task_queue, lock_wait_seconds=5
    )
    shard = uuid4().int % SHARDS
    await gateway.signal_relay(
        EffectKind.EVENT, shard, ids.PAUSE, "a test", "a test", shards=SHARDS
    )
    return temporal.get_workflow_handle(ids.relay_workflow_id(EffectKind.EVENT, shard))


async def is_on(release: Release, run: AnyHandle, version: str) -> None:
    assert await release.version_of(run) == version


async def is_drained(release: Release, version: str) -> None:
    assert "Total: 0" in await release.operator("workflow count", version)
