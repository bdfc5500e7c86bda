"""The contract's own routes answer as they always have, byte for byte."""

from tests.contract.recorded import FILE, Walk
from tests.support.shop import Shop


async def test_the_contracts_routes_answer_byte_for_byte_as_recorded(shop: Shop) -> None:
    assert await Walk(shop).run() == FILE.read_text(), (
        "clients of the original service get other answers; if that is meant, run "
        "`python -m tests.contract.recorded`, and name it in docs/differences.md"
    )
