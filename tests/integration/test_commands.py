"""`cart demo` and `cart doctor` against the running service."""

from tests.support.commands import cart
from tests.support.drift import look_now, nothing_drifts
from tests.support.shop import World
from tests.support.waiting import eventually


async def test_the_demo_finds_every_answer_as_it_should_be(world: World) -> None:
    assert world.settings.port
    ran = await cart("demo")
    assert ran.code == 0, ran.output


async def test_the_doctor_finds_nothing_wrong(world: World) -> None:
    await nothing_drifts()
    await look_now(world)

    async def well() -> None:
        ran = await cart("doctor")
        assert ran.code == 0, ran.output

    await eventually(well, timeout=60)
