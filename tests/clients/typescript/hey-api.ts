import { createClient } from "./generated/hey-api/client";
import {
  addItem,
  clearCart,
  getCart,
  getOperation,
  listCarts,
  removeItemByPath,
  updateQuantity,
} from "./generated/hey-api";
import type { Accepted, Cart } from "./generated/hey-api";
import { adminToken, check, item, polled, present, store, strict, token, url } from "./shop";

const client = createClient({ baseUrl: url, auth: token });
const admin = createClient({ baseUrl: url, auth: adminToken });
const path = { storeId: store };
const headers = { Prefer: strict };

const added = await addItem({ client, path, headers, body: item("headphones", 2) });
check(added.response?.status === 201, "added");
const cart = added.data as Cart;
const line = present(cart.cartItems[0], "line");
check(cart.quantity === 2 && cart.totalPrice === 159.98, "two units");
check(line.priceSource === "client" && line.availabilityStatus === "available", "line");

const refused = await addItem({ client, path, headers, body: item("headphones", 50) });
check(refused.response?.status === 409, "refused");
const problem = present(refused.error, "problem");
check(problem.code === "insufficient_stock" && problem.available === 8, "8 available");

const id = cart._id;
const body = { productId: "headphones", quantity: 5 };
const updated = await updateQuantity({ client, path: { id }, body });
check((updated.data as Cart).totalPrice === 399.95, "updated");

const listed = await listCarts({ client: admin, path, query: { limit: 10 } });
check(present(listed.data, "list").data.totalCount === 1, "listed");

const slow = await addItem({ client, path, headers, body: item("lamp", 1) });
check(slow.response?.status === 202, "accepted");
const { operationId } = slow.data as Accepted;
const ended = await polled(async () => {
  const answer = await getOperation({ client, path: { storeId: store, operationId } });
  return present(answer.data, "operation");
});
check(ended.status === "committed" && ended.answer?.status === 201, "committed");

const removed = await removeItemByPath({ client, path: { id, productId: "headphones" } });
check(removed.response?.status === 200, "removed");
check(present(removed.data, "answer").message === "Item removed from cart", "message");

const cleared = await clearCart({ client, path });
check(present(cleared.data, "answer").message === "Cart cleared", "cleared");

const missing = await getCart({ client, path });
check(missing.response?.status === 404 && missing.error?.code === "cart_not_found", "missing");
console.log("done");
