// Validates the document with the AsyncAPI initiative's parser: node parse.mjs DOCUMENT
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";

const text = readFileSync(process.argv[2], "utf8");
const { document, diagnostics } = await new Parser().parse(text);
const found = diagnostics.filter((one) => one.severity < 2); // errors and warnings
for (const one of found) console.log(one.path.join("."), one.message);
if (document === undefined || found.length > 0) process.exit(1);
console.log(`${document.allMessages().all().length} messages`);
