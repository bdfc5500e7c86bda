"""An Inventory Service in memory: the contract of docs/inventory.md in some sixty lines.

A real one keeps `stock` and `sagas` in a database, and changes both in one transaction.
"""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

app = FastAPI()
stock: defaultdict[tuple[str, str], int] = defaultdict(lambda: 100)
"""(store, product) -> free units."""
held: defaultdict[tuple[str, str, str], int] = defaultdict(int)
"""(store, user, product) -> units reserved for the user."""
sagas: dict[tuple[str, str, str], tuple[str, int]] = {}
"""(store, product, saga) -> what the saga did, and with how many units."""


class Move(BaseModel):
    storeId: str  # noqa: N815 (JSON names)
    productId: str  # noqa: N815
    userId: str  # noqa: N815
    sagaId: str  # noqa: N815
    quantity: int
    reason: str = ""


@app.post("/api/v1/inventories/reserve")
async def reserve(move: Move, response: Response) -> dict[str, Any]:
    saga, product = (move.storeId, move.productId, move.sagaId), (move.storeId, move.productId)
    done, _ = sagas.get(saga, ("", 0))
    if not done and stock[product] >= move.quantity:
        sagas[saga] = ("reserved", move.quantity)
        stock[product] -= move.quantity
        held[move.storeId, move.userId, move.productId] += move.quantity
        done = "reserved"
    if done != "reserved":  # too few units, or released before: the saga was undone
        response.status_code = 409
        return {"success": False, "available": stock[product]}
    return {"success": True, "available": stock[product]}


@app.post("/api/v1/inventories/release")
async def release(move: Move) -> dict[str, Any]:
    saga, user = (
        (move.storeId, move.productId, move.sagaId),
        (move.storeId, move.userId, move.productId),
    )
    done, reserved = sagas.get(saga, ("", 0))
    if done != "released":  # a repeat releases nothing more
        sagas[saga] = ("released", 0)
        undone = move.reason == "saga_aborted"
        units = min(reserved if undone else move.quantity, held[user])
        held[user] -= units
        if move.reason != "order_completed":  # those are sold
            stock[move.storeId, move.productId] += units
    return {"success": True}


@app.get("/api/v1/inventories/check/{product}")
async def check(product: str, storeId: str) -> dict[str, int]:  # noqa: N803
    units = sum(n for (store, _, one), n in held.items() if (store, one) == (storeId, product))
    return {"available": stock[storeId, product], "held": units}


@app.get("/api/v1/inventories/reservations")
async def reservations(storeId: str, userId: str | None = None) -> dict[str, Any]:  # noqa: N803
    found = [
        {"userId": user, "productId": product, "quantity": units}
        for (store, user, product), units in sorted(held.items())
        if units and store == storeId and userId in {None, user}
    ]
    return {"reservations": found, "cursor": None}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}
