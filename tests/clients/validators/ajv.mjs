// The document accepts its own examples, and prices of two decimals: node ajv.mjs DOCUMENT
import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { readFileSync } from "node:fs";

const document = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ajv = formats(new Ajv({ allErrors: true, strict: false }));
ajv.addSchema(document, "document");

function validator(schema) {
  return ajv.compile({ ...schema, components: document.components });
}

let checked = 0;
function check(schema, value, where) {
  const validate = validator(schema);
  if (!validate(value)) throw new Error(`${where}: ${ajv.errorsText(validate.errors)}`);
  checked++;
}

for (const [path, item] of Object.entries(document.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const content = response.content?.["application/json"];
      const examples = Object.values(content?.examples ?? {}).map((one) => one.value);
      if (content?.example !== undefined) examples.push(content.example);
      for (const one of examples) check(content.schema, one, `${method} ${path} ${status}`);
    }
  }
}
for (const [name, schema] of Object.entries(document.components.schemas)) {
  for (const one of schema.examples ?? []) check(schema, one, name);
}
for (const [name, header] of Object.entries(document.components.headers)) {
  check(header.schema, header.example, name);
}
const item = document.components.schemas.AddItemRequest;
const valid = validator(item);
for (let number = 0; number < 100_000; number++) {
  const productPrice = (number * 997) / 100;
  if (!valid({ ...item.examples[0], productPrice })) throw new Error(`price ${productPrice}`);
}
console.log(`${checked} examples`);
