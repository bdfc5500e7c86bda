"""What the errors of Temporal's calls mean.

Temporal's details of errors: temporal/api/errordetails/v1/message.proto of its API. An expired API
key of Temporal Cloud is answered with `UNAUTHENTICATED`, one without a right `PERMISSION_DENIED`.
"""

import pytest
from google.protobuf.any_pb2 import Any
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from models.errors import DependencyRefuses, DependencyUnavailable
from workflows.connection import as_unavailable, unavailable


def answered(status: RPCStatusCode, *details: object) -> RPCError:
    found = GrpcStatus(code=int(status), message="as it said")
    for detail in details:
        packed = Any()
        packed.Pack(detail)  # type: ignore[arg-type]
        found.details.append(packed)
    return RPCError("as it said", status, found.SerializeToString())


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (answered(RPCStatusCode.UNAUTHENTICATED), "TEMPORAL_API_KEY"),
        (answered(RPCStatusCode.PERMISSION_DENIED), "TEMPORAL_API_KEY"),
        (
            answered(RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure(namespace="nowhere")),
            "TEMPORAL_NAMESPACE",
        ),
    ],
)
def test_a_refusal_names_the_setting(error: RPCError, setting: str) -> None:
    with pytest.raises(DependencyRefuses, match=f"as it said: .*{setting}"), as_unavailable():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        answered(RPCStatusCode.UNAVAILABLE),
        answered(RPCStatusCode.DEADLINE_EXCEEDED),
        answered(RPCStatusCode.NOT_FOUND, NotFoundFailure()),
        RuntimeError("as it said"),
    ],
)
def test_anything_else_is_an_outage(error: RPCError | RuntimeError) -> None:
    found = unavailable(error)
    assert type(found) is DependencyUnavailable
    assert "as it said" in found.detail
