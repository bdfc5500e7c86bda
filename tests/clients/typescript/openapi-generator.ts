import {
  AdminApi,
  CartApi,
  CartsApi,
  Configuration,
  ErrorCode,
  OperationsApi,
  ProblemFromJSON,
  ResponseError,
} from "./generated/openapi-generator";
import type { Problem } from "./generated/openapi-generator";
import { adminToken, check, item, polled, present, store, strict, token, url } from "./shop";

const configuration = new Configuration({ basePath: url, accessToken: token });
const carts = new CartApi(configuration);
const byId = new CartsApi(configuration);
const admin = new AdminApi(new Configuration({ basePath: url, accessToken: adminToken }));
const storeId = store;

async function refusal(call: Promise<unknown>, status: number): Promise<Problem> {
  try {
    await call;
  } catch (error) {
    check(error instanceof ResponseError && error.response.status === status, `status ${status}`);
    return ProblemFromJSON(await error.response.json());
  }
  throw new Error("not refused");
}

const cart = await carts.addItem({
  storeId,
  prefer: strict,
  addItemRequest: item("headphones", 2),
});
check(cart.quantity === 2 && cart.totalPrice === 159.98, "two units");
check(present(cart.cartItems[0], "line").reservedAt instanceof Date, "a time");

const more = item("headphones", 50);
const problem = await refusal(
  carts.addItem({ storeId, prefer: strict, addItemRequest: more }),
  409,
);
check(problem.code === ErrorCode.InsufficientStock && problem.available === 8, "8 available");

const change = { productId: "headphones", quantity: 5 };
const updated = await byId.updateQuantity({ id: cart.id, updateQuantityRequest: change });
check(updated.totalPrice === 399.95, "updated");

const listed = await admin.listCarts({ storeId, limit: 10 });
check(listed.data.totalCount === 1, "listed");

const slow = await carts.addItemRaw({
  storeId,
  prefer: strict,
  addItemRequest: item("lamp", 1),
});
check(slow.raw.status === 202, "accepted");
const { operationId } = (await slow.raw.json()) as { operationId: string };
const operations = new OperationsApi(configuration);
const ended = await polled(() => operations.getOperation({ storeId, operationId }));
check(ended.status === "committed" && ended.answer?.status === 201, "committed");

const removed = await byId.removeItem({ id: cart.id, productId: "headphones" });
check(removed.cart.quantity === 1, "the lamp is left");

const cleared = await carts.clearCart({ storeId });
check(cleared.message === "Cart cleared", "cleared");
check((await refusal(carts.getCart({ storeId }), 404)).code === ErrorCode.CartNotFound, "missing");
console.log("done");
