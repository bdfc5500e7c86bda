// Requests through express-openapi-validator, as in a gateway: node express.mjs DOCUMENT
import express from "express";
import { readFileSync } from "node:fs";
import OpenApiValidator from "express-openapi-validator";

const apiSpec = JSON.parse(readFileSync(process.argv[2], "utf8"));
const cart = apiSpec.paths["/api/v1/cart/{storeId}/store"].post.responses["201"];
const answer = cart.content["application/json"].example;
const app = express();
app.use(express.json());
app.use(OpenApiValidator.middleware({ apiSpec, validateRequests: true, validateResponses: true }));
app.post("/api/v1/cart/:storeId/store", (_, response) => response.status(201).json(answer));
app.delete("/api/v1/cart/:id", (_, response) =>
  response.json({ message: "Item removed from cart", cart: answer }),
);
app.use((error, _, response, __) =>
  response.status(error.status ?? 500).json({ message: error.message }),
);
const server = app.listen(0, "127.0.0.1");
await new Promise((ready) => server.once("listening", ready));
const url = `http://127.0.0.1:${server.address().port}/api/v1/cart`;

async function expect(status, method, path, body) {
  const headers = { Authorization: "Bearer a.b.c" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const found = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
  if (found.status !== status) {
    throw new Error(`${method} ${path}: ${found.status} ${await found.text()}`);
  }
}

const item = apiSpec.components.schemas.AddItemRequest.examples[0];
await expect(201, "POST", "/store-1/store", item);
for (const productPrice of [0, 0.29, 4.35, 19.99, 79.99, 131072.01, 1000000]) {
  await expect(201, "POST", "/store-1/store", { ...item, productPrice });
}
await expect(400, "POST", "/store-1/store", { ...item, productPrice: "79.99" });
const id = answer._id;
await expect(200, "DELETE", `/${id}?productId=${item.productId}`);
await expect(200, "DELETE", `/${id}`, { productId: item.productId });
await expect(400, "DELETE", `/${id}`, { productId: "a b" });
server.close();
console.log("ok");
