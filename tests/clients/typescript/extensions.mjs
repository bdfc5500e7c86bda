// Lets Node find `./client` as `./client.js` or `./client/index.js`, as bundlers do.
import { register } from "node:module";

const hooks = `
export async function resolve(specifier, context, next) {
  if (specifier.startsWith(".")) {
    for (const end of ["", ".js", "/index.js"]) {
      try { return await next(specifier + end, context); } catch {}
    }
  }
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
