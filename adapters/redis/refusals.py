"""Redis: what its error answers mean, and what to do about each.

The codes are those of Redis's and Valkey's source. The client turns some of them into exceptions of
their own, without the code.
"""

from dataclasses import dataclass

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server that answers, and refuses.

    `is_elsewhere`: it is not, or not now, the server that takes writes. Where a fixed address leads
    to the current primary, a new connection finds another one. `is_login`: it does not accept our
    login.
    """

    code: str
    advice: str
    is_elsewhere: bool = False
    is_login: bool = False


_LOGIN = "check REDIS_USERNAME and REDIS_PASSWORD, or the user and password in REDIS_URL"
_NO_CLUSTER = (
    "a cluster of several shards is not supported: use one shard, or a proxy in front of them"
)
_REFUSALS: tuple[tuple[type[RedisError], Refusal], ...] = (
    (
        ReadOnlyError,
        Refusal(
            "READONLY",
            "it is a replica: point REDIS_URL to the primary (`REPLICAOF NO ONE` makes it one)",
            is_elsewhere=True,
        ),
    ),
    (
        MasterDownError,
        Refusal(
            "MASTERDOWN",
            "it is a replica without its primary: point REDIS_URL to the primary, or promote it",
            is_elsewhere=True,
        ),
    ),
    (
        BusyLoadingError,
        Refusal("LOADING", "it reads its data after a start: wait", is_elsewhere=True),
    ),
    (
        ClusterDownError,
        Refusal(
            "CLUSTERDOWN",
            "a part of the cluster has no primary: see `CLUSTER INFO`",
            is_elsewhere=True,
        ),
    ),
    (MovedError, Refusal("MOVED", _NO_CLUSTER, is_elsewhere=True)),
    (
        OutOfMemoryError,
        Refusal(
            "OOM",
            "it is full: more memory (`CONFIG SET maxmemory`), or a `maxmemory-policy` that evicts",
        ),
    ),
    (
        NoPermissionError,
        Refusal("NOPERM", "give the user of REDIS_URL the permission to write (`ACL SETUSER`)"),
    ),
    (ClusterCrossSlotError, Refusal("CROSSSLOT", _NO_CLUSTER)),
    (TryAgainError, Refusal("TRYAGAIN", "the cluster moves slots: wait", is_elsewhere=True)),
    (AuthenticationError, Refusal("NOAUTH, WRONGPASS", _LOGIN, is_elsewhere=True, is_login=True)),
    (AuthorizationError, Refusal("NOPERM", _LOGIN, is_login=True)),
)
_BY_CODE = {
    "MISCONF": Refusal(
        "MISCONF",
        "it cannot save to its disk, and so takes no writes: free space (`df -h`), see its log",
        is_elsewhere=True,
    ),
    "NOREPLICAS": Refusal(
        "NOREPLICAS", "too few replicas follow it (`min-replicas-to-write`): start them"
    ),
    "NOAUTH": Refusal("NOAUTH", _LOGIN, is_elsewhere=True, is_login=True),
    "BUSY": Refusal("BUSY", "a script runs for long: `SCRIPT KILL` ends it"),
}
_OTHER = Refusal("ERR", "see its log; a Sentinel is not supported: use an address of the primary")


def refusal_of(error: BaseException) -> Refusal | None:
    """What an error answer means; None for an error that is no answer."""
    for kind, refusal in _REFUSALS:
        if isinstance(error, kind):
            return refusal
    if isinstance(error, ResponseError):
        return _BY_CODE.get(str(error).partition(" ")[0], _OTHER)
    return None


def in_words(error: BaseException, refusal: Refusal) -> str:
    """The server's answer with its code, as the server gave it."""
    text = str(error)
    return text if text.startswith(refusal.code) else f"{refusal.code}: {text}"
