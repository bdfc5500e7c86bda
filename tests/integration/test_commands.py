"""`cart demo` and `cart doctor` against the running service."""

from tests.support.commands import cart
from tests.support.drift import repair_all_drift, trigger_hold_watch
from tests.support.shop import World
from tests.support.waiting import eventually


async def test_the_demo_passes(world: World) -> None:
    assert world.settings.port
    ran = await cart("demo")
    assert ran.code == 0, ran.output


async def test_the_doctor_finds_no_problem(world: World) -> None:
    await repair_all_drift()
    await trigger_hold_watch(world)

    async def no_problem() -> None:
        ran = await cart("doctor")
        assert ran.code == 0, ran.output

    await eventually(no_problem, timeout=60)
