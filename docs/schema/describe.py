#!/usr/bin/env python3
"""Prints docs/json.md from the schemas beside it: describe.py > docs/json.md"""
import json
import os

FOLDER = os.path.dirname(os.path.abspath(__file__))
TEXTS = ("plan", "check", "info", "inspect", "evaluate", "generate", "timeline")

HEAD = """# JSON

With `--json` these commands print one JSON text (UTF-8) on standard output and nothing else there:

```
$ ./moray check input/tiny.yaml model.layer=3 --json
{
  "deck": "input/tiny.yaml",
  "valid": false,
  "errors": [
    {
      "place": "command line",
      "line": 0,
      "column": 0,
      "message": "unknown key 'model.layer'; did you mean 'layers'? (integer >= 1, required)"
    }
  ]
}
```

The exit code is the same as without `--json`. An error that leaves nothing to print is a message on standard error, and standard
output is empty. The last section describes a file in the folder of a run.

`docs/schema/*.schema.json` describe the texts for programs (JSON Schema, draft 2020-12); this page is made
from them, and a test validates the output of each command. A later version may add members: a reader ignores what it does not
know. Members are not renamed or removed, nor their meaning changed, without a higher first number of the version.

A value that is NaN or infinite, or was not measured, is `null`. Integers are exact; reals have the digits that read back as the
same float64.

In the tables `a.b` is a member of an object and `a[]` an element of an array; members in *italics* may be absent.
"""


def resolve(node, root):
    while "$ref" in node:
        target = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def type_text(node):
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kind = node.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else kind
    if kind == "array" and node["items"].get("type") not in ("object", "array"):
        inner = node["items"].get("type", "any")
        text = "array of " + (" or ".join(inner) if isinstance(inner, list) else inner)
    return text


def rows(node, root, path):
    """(path, type, meaning) of every member below a node."""
    node = resolve(node, root)
    if node.get("type") == "array":
        yield from rows(node["items"], root, path + "[]")
        return
    for name, member in node.get("properties", {}).items():
        member = resolve(member, root)
        shown = f"{path}.{name}" if path else name
        text = f"`{shown}`" if name in node.get("required", ()) else f"*`{shown}`*"
        yield text, type_text(member), member["description"].replace("|", "\\|")
        yield from rows(member, root, shown)


def main():
    print(HEAD)
    for text in TEXTS:
        with open(os.path.join(FOLDER, text + ".schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        print(f"## {schema['title']}\n\n{schema['description']} [schema](schema/{text}.schema.json)\n")
        print("| member | type | meaning |\n|---|---|---|")
        for row in rows(schema, schema, ""):
            print("| " + " | ".join(row) + " |")
        print()


if __name__ == "__main__":
    main()
