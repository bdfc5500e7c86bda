// Generates models with Modelina: node generate.mjs DOCUMENT typescript|java FOLDER
import {
  JAVA_JACKSON_PRESET,
  JavaFileGenerator,
  TypeScriptFileGenerator,
} from "@asyncapi/modelina";
import { readFileSync } from "node:fs";

const [, , name, language, folder] = process.argv;
const document = JSON.parse(readFileSync(name, "utf8"));
const [generator, options] =
  language === "java"
    ? [
        new JavaFileGenerator({ presets: [JAVA_JACKSON_PRESET], collectionType: "List" }),
        { packageName: "events" },
      ]
    : [
        new TypeScriptFileGenerator({
          modelType: "interface",
          enumType: "union",
          moduleSystem: "ESM",
          rawPropertyNames: true,
        }),
        { exportType: "named" },
      ];
const models = await generator.generateToFiles(document, folder, options);
const anonymous = models.filter((one) => one.modelName.startsWith("Anonymous"));
if (anonymous.length > 0) throw new Error("models without a name");
