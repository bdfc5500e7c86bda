"""The supervisor of the local stack, with tiny processes instead of servers."""

import asyncio
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dev.stack import binaries, process, supervisor
from dev.stack.ports import (
    PORT_SETTINGS,
    PortUse,
    check_ports,
    free_ports,
    is_free,
    more_free_ports,
)
from dev.stack.process import FolderError, Process, ProcessSpec, StackError
from dev.stack.stack import external_parts
from dev.stack.supervisor import Supervisor, wait_until_ready
from settings import Settings
from tests.unit.cli_standin import clear_environment, run

RUNS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)
CRASHES = "print('no such table: carts', flush=True); raise SystemExit(3)"
# Ready at once, and ends a moment later; the first start stays.
FLAPS = (
    "import os, sys, time; first = not os.path.exists('seen'); open('seen', 'w'); "
    "print('up', flush=True); time.sleep(600 if first else 0.05); raise SystemExit(5)"
)


async def log_has_up(one: Process) -> bool:
    return "up" in one.output()


async def never(_: Process) -> bool:
    raise ConnectionRefusedError("no listener")


class Running:
    """The supervisors of a test, stopped at its end, and their output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.made: list[Supervisor] = []

    def spec(self, name: str = "it", code: str = RUNS, **more: Any) -> ProcessSpec:
        options: dict[str, Any] = {
            "probe": log_has_up,
            "cwd": self.folder,
            "stop_grace": 5.0,
        } | more
        return ProcessSpec(name=name, argv=(sys.executable, "-S", "-c", code), **options)

    def supervisor(self, *specs: ProcessSpec) -> Supervisor:
        made = Supervisor(specs, log_dir=self.folder / "logs", echo=self.said.append)
        self.made.append(made)
        return made

    def text(self) -> str:
        return "\n".join(self.said)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(tmp_path)
    yield made
    for one in made.made:
        await one.stop()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.02)


async def eventually(true: Callable[[], bool], timeout: float = 20) -> None:
    async with asyncio.timeout(timeout):
        while not true():  # noqa: ASYNC110 (the world outside the event loop)
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # not Linux, or the process has ended
        return Path("/proc/self").exists() is False
    return state != "Z"


async def test_processes_start_in_the_order_of_dependencies_and_stop_in_reverse(
    running: Running,
) -> None:
    order: list[str] = []

    def noting(name: str) -> Any:
        async def note() -> None:
            order.append(name)

        return note

    stack = running.supervisor(
        running.spec("app", needs=frozenset({"server"}), before=noting("before app")),
        running.spec("server", after=noting("after server")),
    )
    await stack.start()
    assert order == ["after server", "before app"]
    await stack.stop()
    states = [line.split()[:2] for line in running.said]
    assert states == [
        ["server", "ready"],
        ["app", "ready"],
        ["app", "stopped"],
        ["server", "stopped"],
    ]


async def test_a_process_that_cannot_start_stops_the_others_and_is_named(running: Running) -> None:
    stack = running.supervisor(
        running.spec("good"),
        running.spec("bad", CRASHES, diagnose=lambda output: "run the migration"),
    )
    with pytest.raises(StackError) as error:
        await stack.start()
    text = str(error.value)
    assert "bad could not be started: ended with exit code 3" in text
    assert "run the migration" in text
    assert "no such table: carts" in text
    assert not any(one.running for one in stack.processes.values())


async def test_a_process_that_is_never_ready_fails_at_its_deadline(running: Running) -> None:
    stack = running.supervisor(running.spec(probe=never, deadline=0.5))
    with pytest.raises(StackError, match=r"not ready after 0\.5 s .*no listener"):
        await stack.start()
    assert not stack.process("it").running


async def test_a_setup_that_fails_counts_as_not_started(running: Running) -> None:
    async def fails() -> None:
        raise ValueError("no topics")

    stack = running.supervisor(running.spec(after=fails))
    with pytest.raises(StackError, match="could not be set up: ValueError: no topics"):
        await stack.start()


@pytest.mark.usefixtures("no_pause")
async def test_a_process_that_dies_is_restarted_and_reported(running: Running) -> None:
    again: list[int] = []

    async def after() -> None:
        again.append(1)

    stack = running.supervisor(running.spec(after=after))
    await stack.start()
    first = stack.process("it").pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: stack.process("it").starts == 2)
    await wait_until_ready(stack.process("it"), 20)
    assert stack.process("it").pid != first
    assert len(again) == 2
    assert "died     ended by SIGKILL; starting it again" in running.text()
    assert "| up" in running.text()


@pytest.mark.usefixtures("no_pause")
async def test_a_process_that_keeps_failing_stops_the_stack(running: Running) -> None:
    stack = running.supervisor(running.spec("flapping", FLAPS), running.spec("other"))
    await stack.start()
    stack.process("flapping").kill()
    with pytest.raises(StackError, match=r"flapping failed 6 times in a row: .*exit code 5"):
        await asyncio.wait_for(stack.wait(), 30)
    assert not stack.process("other").running


@pytest.mark.usefixtures("no_pause")
async def test_kills_by_a_test_do_not_count_as_failures(running: Running) -> None:
    stack = running.supervisor(running.spec())
    await stack.start()
    one = stack.process("it")
    for starts in range(2, supervisor.QUICK_FAILURES + 4):
        one.kill()
        await eventually(lambda starts=starts: one.starts == starts)  # type: ignore[misc]
        await wait_until_ready(one, 20)
    assert one.running


async def test_a_process_that_is_kept_down_starts_again_on_request(running: Running) -> None:
    stack = running.supervisor(running.spec(restart=False))
    await stack.start()
    one = stack.process("it")
    one.kill()
    await eventually(lambda: "it is left down" in running.text())
    assert not one.running
    one.start_again.set()
    await wait_until_ready(one, 20)
    assert one.starts == 2


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_period(
    running: Running,
) -> None:
    stack = running.supervisor(running.spec(code=STUBBORN, stop_grace=0.3))
    await stack.start()
    begun = time.monotonic()
    await stack.stop()
    assert time.monotonic() - begun < 30  # the process sleeps for 600 s
    assert running.said[-1].split()[:2] == ["it", "killed"]


async def test_a_paused_process_is_stopped(running: Running) -> None:
    stack = running.supervisor(running.spec())
    await stack.start()
    stack.process("it").signal(signal.SIGSTOP)
    await stack.stop()
    assert running.said[-1].split()[:2] == ["it", "stopped"]


async def test_a_cancelled_start_leaves_no_process(running: Running) -> None:
    stack = running.supervisor(running.spec("up"), running.spec("slow", probe=never))
    starting = asyncio.ensure_future(stack.start())
    await eventually(stack.process("up").ready.is_set)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not any(one.running for one in stack.processes.values())


async def test_no_process_survives_a_kill_of_the_supervisor(tmp_path: Path) -> None:
    code = f"""
        import asyncio, sys
        from pathlib import Path
        from dev.stack.process import ProcessSpec
        from dev.stack.supervisor import Supervisor

        async def up(one):
            return "up" in one.output()

        async def main():
            argv = (sys.executable, "-S", "-c", {STUBBORN!r})
            spec = ProcessSpec(name="it", argv=argv, probe=up)
            stack = Supervisor([spec], log_dir=Path("logs"), echo=lambda _: None)
            await stack.start()
            print(stack.process("it").pid, flush=True)
            await stack.wait()

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(code)),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    assert alive(child)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not alive(child))


def test_the_watcher_ends_its_group_when_the_pipe_closes(tmp_path: Path) -> None:
    """Used where the kernel has no parent-death signal (macOS)."""
    code = (
        "import sys; sys.platform = 'darwin'; sys.path.insert(0, sys.argv.pop(1)); "
        "import guard; guard.main()"
    )
    inherited, held = os.pipe()
    guarded = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", "-c", code, str(process.GUARD.parent)),
            *(str(os.getpid()), str(inherited), sys.executable, "-S", "-c", RUNS),
        ],
        pass_fds=(inherited,),
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    os.close(inherited)
    assert guarded.stdout is not None
    with guarded.stdout:
        assert guarded.stdout.readline() == b"up\n"
    os.close(held)
    assert guarded.wait(20) == -signal.SIGKILL


async def test_a_long_log_is_rotated(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 1000)
    stack = running.supervisor(running.spec(code=f"print('x' * 5000); {RUNS}"))
    await stack.start()
    one = stack.process("it")
    one.bound_log()
    assert one.log.stat().st_size == 0
    old = one.log.with_name("it.log.1").read_text()
    assert len(old) == 1000
    assert old.endswith("up\n")


@pytest.mark.parametrize(
    ("file", "arguments"), [("", []), ("", ["--reset"]), ("data", []), ("logs", [])]
)
def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    arguments: list[str],
) -> None:
    """A file in place of a folder, which even root cannot write to."""
    path = tmp_path / "local" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    clear_environment(monkeypatch, LOCAL_DIR=tmp_path / "local", **free_ports())

    ended = run(capsys, "stack", *arguments)

    assert f"cannot write to {path}" in ended.err
    assert "LOCAL_DIR" in ended.err
    assert ended.code == 2


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(FolderError) as error:
        process.check_folder(tmp_path)
    assert f"cannot write to {tmp_path}: No space left on device" in str(error.value)
    assert error.value.exit_code == 2


async def test_a_process_that_fails_on_a_full_disk_names_the_disk(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise FolderError(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(supervisor, "check_folder", full)
    with pytest.raises(FolderError, match="logs: No space left on device"):
        await running.supervisor(running.spec(code=CRASHES)).start()


def test_a_taken_port_is_named_with_its_part_and_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(StackError) as error:
            check_ports([PortUse(port, "API", "PORT")])
    assert str(error.value) == f"port {port} (API) is taken: stop what is using it or set PORT"
    assert is_free(port)


def test_a_port_of_two_parts_is_named() -> None:
    port = free_ports()["PORT"]
    with pytest.raises(StackError, match="change PORT or MONGODB_PORT"):
        check_ports([PortUse(port, "API", "PORT"), PortUse(port, "MongoDB", "MONGODB_PORT")])


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports()
    assert tuple(ports) == PORT_SETTINGS
    assert len(set(ports.values())) == len(PORT_SETTINGS)
    assert all(is_free(port) for port in ports.values())


def test_free_ports_are_not_given_out_twice_even_to_another_process() -> None:
    """So that the port of a restarting server is not taken by another test run."""
    draw = "import random; random.seed(7); from dev.stack.ports import more_free_ports;"
    random.seed(7)
    ours = more_free_ports(3)
    others = subprocess.run(
        [sys.executable, "-c", f"{draw} print(*more_free_ports(3))"],
        check=True,
        capture_output=True,
        text=True,
    )
    random.seed(7)
    assert not {*map(int, others.stdout.split())} & {*ours}
    assert not {*more_free_ports(3)} & {*ours}


def test_a_missing_server_names_the_setting_that_replaces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StackError, match=r"MongoDB: no server for this platform .*MONGODB_URI"):
        binaries.mongod()
    with pytest.raises(StackError, match=r"Redis: .*REDIS_URL"):
        binaries.redis_server()


def test_missing_libraries_of_mongod_are_named_with_their_package() -> None:
    output = (
        "mongod: error while loading shared libraries: libcurl.so.4: "
        "cannot open shared object file: No such file or directory"
    )
    advice = binaries.explain_mongod(output)
    assert advice is not None
    assert "apt-get install libcurl4" in advice
    assert "MONGODB_URI" in advice
    assert binaries.explain_mongod("listening") is None


@pytest.mark.parametrize(
    ("environment", "external"),
    [
        ({}, {}),
        ({"TEMPORAL_PORT": "7000"}, {}),
        ({"TEMPORAL_ADDRESS": "cloud:7233"}, {"temporal": "cloud:7233"}),
        ({"MONGODB_URI": "mongodb://me:secret@db:1/x"}, {"mongodb": "db:1"}),
        ({"REDIS_URL": "rediss://:secret@cache:2"}, {"redis": "cache:2"}),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "3"}, {"redis": "cache:3"}),
        ({"KAFKA_BROKERS": "a:1,b:2"}, {"kafka": "a:1,b:2"}),
        ({"INVENTORY_SERVICE_URL": "https://inv"}, {"inventory": "https://inv"}),
    ],
)
def test_an_address_setting_replaces_a_part(
    environment: dict[str, str], external: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        if name.startswith(("TEMPORAL_", "MONGODB_", "REDIS_", "KAFKA_", "INVENTORY_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    environment = environment | {"TEMPORAL_CONFIG_FILE": os.devnull}
    assert external_parts(Settings(), environment) == external


def test_a_temporal_profile_with_an_address_replaces_the_part_too(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.prod]\naddress = "cloud:7233"\n')
    environment = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "prod"}
    assert external_parts(Settings(), environment)["temporal"] == "cloud:7233"
    with pytest.raises(StackError, match="configuration cannot be used"):
        external_parts(Settings(), environment | {"TEMPORAL_PROFILE": "other"})
