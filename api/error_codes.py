"""The codes of errors and refusals, in one place: `api.errors` assigns them, docs/api.md explains
them."""

from enum import StrEnum
from http import HTTPStatus


class ErrorCode(StrEnum):
    """Why a request was refused or failed, for programs. A code never changes its meaning."""

    # What is wrong with a field.
    VALIDATION_FAILED = "validation_failed"
    REQUIRED = "required"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_TYPE = "invalid_type"
    INVALID_FORMAT = "invalid_format"
    NOT_ALLOWED = "not_allowed"
    OUT_OF_RANGE = "out_of_range"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    CONFLICTING_VALUES = "conflicting_values"
    MALFORMED_JSON = "malformed_json"

    # What is wrong with a request.
    BAD_REQUEST = "bad_request"
    MALFORMED_REQUEST = "malformed_request"
    TOO_MANY_PIPELINED_REQUESTS = "too_many_pipelined_requests"
    TOKEN_MISSING = "token_missing"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    FORBIDDEN = "forbidden"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    REQUEST_TOO_LARGE = "request_too_large"
    URI_TOO_LONG = "uri_too_long"
    MEDIA_TYPE_NOT_SUPPORTED = "media_type_not_supported"
    CHARSET_NOT_SUPPORTED = "charset_not_supported"
    CONTENT_ENCODING_NOT_SUPPORTED = "content_encoding_not_supported"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_STREAMS = "too_many_streams"
    HEADER_FIELDS_TOO_LARGE = "header_fields_too_large"
    METHOD_NOT_IMPLEMENTED = "method_not_implemented"

    # Rules of carts (`models.outcomes.RefusalCode`).
    CART_NOT_FOUND = "cart_not_found"
    ITEM_NOT_FOUND = "item_not_found"
    OPERATION_NOT_FOUND = "operation_not_found"
    SAGA_NOT_STOPPED = "saga_not_stopped"
    GUESTS_OFF = "guests_off"
    GUEST_TOKEN_EXPIRED = "guest_token_expired"  # noqa: S105
    GUEST_TOKEN_INVALID = "guest_token_invalid"  # noqa: S105
    INSUFFICIENT_STOCK = "insufficient_stock"
    PRODUCT_NOT_ACCEPTED = "product_not_accepted"
    UNKNOWN_PRODUCT = "unknown_product"
    QUANTITY_LIMIT = "quantity_limit"
    LINE_LIMIT = "line_limit"
    UNIT_LIMIT = "unit_limit"
    VALUE_LIMIT = "value_limit"
    SIZE_LIMIT = "size_limit"
    CURRENCY_MISMATCH = "currency_mismatch"
    CART_EMPTY = "cart_empty"
    CART_CHECKED_OUT = "cart_checked_out"
    CHECKOUT_NOT_FOUND = "checkout_not_found"
    ORDER_CANCELLED = "order_cancelled"
    PRECONDITION_FAILED = "precondition_failed"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    OPERATION_IN_PROGRESS = "operation_in_progress"

    # Passing problems: the same request with the same idempotency key may succeed later.
    INVENTORY_UNAVAILABLE = "inventory_unavailable"
    PRODUCT_SERVICE_UNAVAILABLE = "product_service_unavailable"
    MONGODB_UNAVAILABLE = "mongodb_unavailable"
    REDIS_UNAVAILABLE = "redis_unavailable"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    TEMPORAL_UNAVAILABLE = "temporal_unavailable"
    SIGNING_KEYS_UNAVAILABLE = "signing_keys_unavailable"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    UNAVAILABLE = "unavailable"
    INTAKE_HELD = "intake_held"
    DEADLINE = "deadline"
    OPERATOR = "operator"
    CANCELLED = "cancelled"
    CONFLICT = "conflict"
    RESET = "reset"
    TERMINATED = "terminated"
    UNDONE = "undone"
    INTERNAL_ERROR = "internal_error"


_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: ErrorCode.TOKEN_INVALID,
    HTTPStatus.FORBIDDEN: ErrorCode.FORBIDDEN,
    HTTPStatus.NOT_FOUND: ErrorCode.ROUTE_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorCode.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_ACCEPTABLE: ErrorCode.NOT_ACCEPTABLE,
    HTTPStatus.REQUEST_TIMEOUT: ErrorCode.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT: ErrorCode.OPERATION_IN_PROGRESS,
    HTTPStatus.PRECONDITION_FAILED: ErrorCode.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ErrorCode.BODY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG: ErrorCode.URI_TOO_LONG,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ErrorCode.MEDIA_TYPE_NOT_SUPPORTED,
    HTTPStatus.UNPROCESSABLE_ENTITY: ErrorCode.IDEMPOTENCY_KEY_REUSED,
    HTTPStatus.TOO_MANY_REQUESTS: ErrorCode.RATE_LIMITED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ErrorCode.HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED: ErrorCode.METHOD_NOT_IMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCode.UNAVAILABLE,
}


def code_of(status: int) -> ErrorCode:
    """The code of an error that is known by its status alone."""
    if status in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(status)]
    is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ErrorCode.INTERNAL_ERROR if is_server_error else ErrorCode.BAD_REQUEST
