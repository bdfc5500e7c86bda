// Every operation of Prism's mock server answers by the document: node prism.mjs DOCUMENT PORT
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const [, , document, port] = process.argv;
const { paths, components } = JSON.parse(readFileSync(document, "utf8"));
const arguments_ = ["mock", "--errors", "--host", "127.0.0.1", "--port", port, document];
const prism = spawn("node_modules/.bin/prism", arguments_, { stdio: "ignore" });
const values = {
  storeId: "store-1",
  id: "507f1f77bcf86cd799439013",
  productId: "507f1f77bcf86cd799439011",
  operationId: "9f86d081884c7d659a2feaa0c55ad015",
};

async function answer(path, method, operation) {
  const headers = { Authorization: "Bearer a.b.c" };
  const init = { method: method.toUpperCase(), headers };
  const schema = operation.requestBody?.content["application/json"].schema.$ref;
  if (schema !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(components.schemas[schema.split("/").pop()].examples[0]);
  }
  const url = path.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  for (let tries = 0; ; tries++) {
    try {
      return await fetch(`http://127.0.0.1:${port}${url}`, init);
    } catch (error) {
      if (tries > 120) throw error;
      await new Promise((go) => setTimeout(go, 250));
    }
  }
}

try {
  let checked = 0;
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const found = await answer(path, method, operation);
      const text = await found.text();
      if (!found.ok || found.headers.has("sl-violations")) {
        throw new Error(`${method} ${path}: ${found.status} ${text}`);
      }
      if (!/^[0-9a-f]{32}$/.test(found.headers.get("x-trace-id"))) {
        throw new Error(`${method} ${path}: ${found.headers.get("x-trace-id")}`);
      }
      checked++;
    }
  }
  console.log(`${checked} operations`);
} finally {
  prism.kill();
}
