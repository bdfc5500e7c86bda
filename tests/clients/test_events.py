"""The AsyncAPI document: valid by the initiative's parser, and models of it read every event.

Modelina generates TypeScript and Java, datamodel-code-generator Python.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from dev.event_docs.catalog import EVENTS
from tests.clients.tools import HERE, class_path, jars, node_project, python, run, tool, written

SINGLE = {"productId": "headphones", "reason": "Recalled", "storeId": "store-1"}
CLEARED_BY_USER = {"reason": "user", "orderId": None}


def examples() -> dict[str, list[dict[str, Any]]]:
    """The events by their model's name: all kinds, and their variants."""
    found = {event.name: [event.example] for event in EVENTS}
    found["CartCleared"].append(found["CartCleared"][0] | CLEARED_BY_USER)
    found["OutOfStock"].append(SINGLE)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return node_project("events", tmp_path / "project")


def test_the_parser_finds_nothing(asyncapi: Path, project: Path) -> None:
    assert "9 messages" in run("node", "parse.mjs", asyncapi, cwd=project)


def test_modelinas_typescript_has_the_types_of_every_event(asyncapi: Path, project: Path) -> None:
    run("node", "generate.mjs", asyncapi, "typescript", "generated", cwd=project)
    names = [*examples()]
    lines = [f'import {{ {name} }} from "./generated/{name}";' for name in names]
    lines += [
        f"const {name}_{number}: {name} = {json.dumps(value)};"
        for name, values in examples().items()
        for number, value in enumerate(values)
    ]
    (project / "examples.ts").write_text("\n".join([*lines, "export {};"]))
    run("node_modules/.bin/tsc", "-p", "tsconfig.json", cwd=project)


def test_modelinas_java_reads_every_event(asyncapi: Path, project: Path) -> None:
    tool("java", "javac", "mvn")
    run("node", "generate.mjs", asyncapi, "java", "generated/events", cwd=project)
    libraries, classes = jars() / "client" / "*", project / "classes"
    sources = sorted((project / "generated" / "events").glob("*.java"))
    source = HERE / "events" / "ReadEvents.java"
    run("javac", "-d", classes, *class_path(libraries), *sources, source)
    events = written(project / "events.json", examples())
    assert run("java", *class_path(classes, libraries), "ReadEvents", events).strip() == "done"


def test_datamodel_code_generator_reads_every_event(asyncapi: Path, tmp_path: Path) -> None:
    interpreter = python()
    schemas = json.loads(asyncapi.read_text())["components"]["schemas"]
    text = json.dumps({"definitions": schemas}).replace("#/components/schemas/", "#/definitions/")
    document = tmp_path / "schemas.json"
    document.write_text(text)
    kind = ("--input-file-type", "jsonschema", "--output-model-type", "pydantic_v2.BaseModel")
    style = ("--use-annotated", "--target-python-version", "3.11")
    files = ("--input", document, "--output", tmp_path / "models.py")
    run(interpreter, "-m", "datamodel_code_generator", *kind, *style, *files)
    written(tmp_path / "events.json", examples())
    program = (
        "import json, models\n"
        "for name, events in json.load(open('events.json')).items():\n"
        "    for event in events:\n"
        "        read = getattr(models, name).model_validate(event)\n"
        "        assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)), name\n"
    )
    (tmp_path / "read.py").write_text(program)
    run(interpreter, "read.py", cwd=tmp_path)
    run(interpreter, "-m", "mypy", "--strict", "models.py", cwd=tmp_path)
