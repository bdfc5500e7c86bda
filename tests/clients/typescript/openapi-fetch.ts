import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi-typescript";
import { adminToken, check, item, polled, present, store, strict, token, url } from "./shop";

const bearer = (value: string) => ({ Authorization: `Bearer ${value}` });
const client = createClient<paths>({ baseUrl: url, headers: bearer(token) });
const admin = createClient<paths>({ baseUrl: url, headers: bearer(adminToken) });
const params = { path: { storeId: store }, header: { Prefer: strict } };
const own = "/api/v1/cart/{storeId}/store";

const added = await client.POST(own, { params, body: item("headphones", 2) });
check(added.response.status === 201, "added");
const cart = added.data as components["schemas"]["Cart"];
check(cart.quantity === 2 && present(cart.cartItems[0], "line").priceSource === "client", "line");

const refused = await client.POST(own, { params, body: item("headphones", 50) });
check(refused.response.status === 409, "refused");
const problem = present(refused.error, "problem");
check(problem.code === "insufficient_stock" && problem.available === 8, "8 available");

const byId = { params: { path: { id: cart._id } } };
const body = { productId: "headphones", quantity: 5 };
const updated = await client.PUT("/api/v1/cart/{id}", { ...byId, body });
check((updated.data as components["schemas"]["Cart"]).totalPrice === 399.95, "updated");

const query = { limit: 10 };
const listed = await admin.GET("/api/v1/cart/{storeId}/admin/carts", {
  params: { path: { storeId: store }, query },
});
check(present(listed.data, "list").data.totalCount === 1, "listed");

const slow = await client.POST(own, { params, body: item("lamp", 1) });
check(slow.response.status === 202, "accepted");
const { operationId } = slow.data as components["schemas"]["Accepted"];
const ended = await polled(async () => {
  const answer = await client.GET("/api/v1/cart/{storeId}/operations/{operationId}", {
    params: { path: { storeId: store, operationId } },
  });
  return present(answer.data, "operation");
});
check(ended.status === "committed" && ended.answer?.status === 201, "committed");

const removed = await client.DELETE("/api/v1/cart/{id}", {
  params: { path: { id: cart._id }, query: { productId: "headphones" } },
});
check(removed.response.status === 200, "removed");
const { cart: left } = removed.data as components["schemas"]["ItemRemoved"];
check(left.quantity === 1 && left.cartItems[0]?.productId === "lamp", "the lamp is left");

const cleared = await client.DELETE(own, { params: { path: { storeId: store } } });
check(present(cleared.data, "answer").message === "Cart cleared", "cleared");

const missing = await client.GET(own, { params: { path: { storeId: store } } });
check(missing.response.status === 404 && missing.error?.code === "cart_not_found", "missing");
console.log("done");
