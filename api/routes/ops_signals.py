"""`POST /admin/ops/...`: what operators do from their page, by the signals of `cart ops`.

The operator is `admin:ID`. Each writes an audit line, as does the saga or relay that gets it. Not
in the OpenAPI document, like `api.routes.ops_reads`.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.fields import MAX_KEY
from api.operators import Operator, OperatorDep, OpsRoute
from api.schemas import RequestBody
from models.acknowledgement import REASON_CHARACTERS
from ops.errors import NotFoundError
from ops.relays import choose_relays, find_effect, skip_effect
from ops.sagas import SagaSummary, find_saga
from ops.signals import abort, acknowledge, acknowledgeable, signal_relays
from workflows import ids

router = APIRouter(prefix="/admin/ops", route_class=OpsRoute, include_in_schema=False)

ABORT_SECONDS = 10.0
"""How long an answer waits for the end of the saga."""

Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS, pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=2 * MAX_KEY + 2)]


class SagaBody(RequestBody):
    """A saga by the name that `cart ops` takes, and why."""

    saga: Name
    reason: Reason


class RelayBody(RequestBody):
    """A relay (`event/3`), and why."""

    relay: Name
    reason: Reason


class EffectBody(RequestBody):
    """A pending effect by its id, and why."""

    effect: Name
    reason: Reason


@router.post("/abort")
async def abort_saga(body: SagaBody, operator: OperatorDep) -> Response:
    """`cart ops abort SAGA`: the end of the saga, or that it is still running."""
    saga = await _own_saga(operator, body.saga)
    end = await abort(
        operator.connections, saga, reason=body.reason, by=operator.name, seconds=ABORT_SECONDS
    )
    operator.did("abort", saga.store_id, body.reason, runId=saga.run_id)
    return operator.answer({"by": operator.name, "reason": body.reason, "sagas": [end.as_dict()]})


@router.post("/ack")
async def acknowledge_saga(body: SagaBody, operator: OperatorDep) -> Response:
    """`cart ops ack SAGA`."""
    now = datetime.now(UTC)
    found = await _own_saga(operator, body.saga)
    sagas = await acknowledgeable(operator.connections, [found])
    await acknowledge(operator.connections, sagas, reason=body.reason, by=operator.name, at=now)
    operator.did("ack", found.store_id, body.reason, runId=found.run_id)
    shown = [saga.as_dict(now) for saga in sagas]
    return operator.answer({"by": operator.name, "reason": body.reason, "sagas": shown})


@router.post("/retry")
async def retry(body: RelayBody, operator: OperatorDep) -> Response:
    """`cart ops retry RELAY`."""
    return await _signal(operator, body, ids.RETRY_NOW)


@router.post("/pause")
async def pause(body: RelayBody, operator: OperatorDep) -> Response:
    """`cart ops pause RELAY`."""
    return await _signal(operator, body, ids.PAUSE)


@router.post("/resume")
async def resume(body: RelayBody, operator: OperatorDep) -> Response:
    """`cart ops resume RELAY`."""
    return await _signal(operator, body, ids.RESUME)


@router.post("/skip")
async def skip(body: EffectBody, operator: OperatorDep) -> Response:
    """`cart ops skip EFFECT`: whether the record has noted it yet."""
    operator.must_have(None)
    found = await find_effect(operator.connections, body.effect)
    done = await skip_effect(operator.connections, found, reason=body.reason, by=operator.name)
    operator.did("skip", found.store_id, body.reason, effectId=found.effect_id)
    shown = {"by": operator.name, "reason": body.reason, **found.as_dict(), "done": done}
    return operator.answer(shown)


async def _own_saga(operator: Operator, name: str) -> SagaSummary:
    """The saga with this name; one of another store does not exist for the admin."""
    saga = await find_saga(operator.connections, name)
    if not operator.has(saga.store_id):
        raise NotFoundError(f"nothing is known of {name!r} in your stores")
    return saga


async def _signal(operator: Operator, body: RelayBody, signal: str) -> Response:
    operator.must_have(None)
    relays = await choose_relays(operator.connections, [body.relay], every=False)
    await signal_relays(operator.connections, relays, signal, reason=body.reason, by=operator.name)
    operator.did(signal.removesuffix("_now"), None, body.reason, relay=body.relay)
    return operator.answer({"by": operator.name, "reason": body.reason, "relays": [body.relay]})
