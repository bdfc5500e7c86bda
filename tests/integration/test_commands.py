"""`cart demo` and `cart doctor` against the running service."""

from tests.support.commands import cart
from tests.support.shop import World


async def test_the_demo_finds_every_answer_as_it_should_be(world: World) -> None:
    assert world.settings.port
    ran = await cart("demo")
    assert ran.code == 0, ran.output


async def test_the_doctor_finds_nothing_wrong(world: World) -> None:
    assert world.settings.port
    ran = await cart("doctor", "--json")
    failed = [one for one in ran.json["checks"] if one["state"] == "failed"]
    # Carts without holds may be left of other tests; tests/deploy has a doctor who finds nothing.
    assert {one["part"] for one in failed} <= {"holds"}, failed
