#!/usr/bin/env python3
"""JSON schemas for kubeconform, from the OpenAPI document in the source of Kubernetes.

    schemas.py SWAGGER.json DIRECTORY
    kubeconform -strict -schema-location 'DIRECTORY/{{.ResourceKind}}{{.KindSuffix}}.json' FILE...
"""
import json
import os
import sys

INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}


def keep(key):
    return key != "description" and not key.startswith("x-kubernetes")


def convert(schema):
    """One schema of OpenAPI 2 as JSON Schema, strict about fields that it does not name."""
    if isinstance(schema, list):
        return [convert(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": "_definitions.json#/definitions/" + schema["$ref"].rsplit("/", 1)[1]}
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        converted = {key: convert(value) for key, value in schema.items() if keep(key)}
    else:
        # The names of fields are no keywords: a field may be called `description`.
        converted = {key: convert(value) for key, value in schema.items() if key != "properties" and keep(key)}
        converted["properties"] = {key: convert(value) for key, value in properties.items()}
        converted.setdefault("additionalProperties", False)
    if converted.get("format") == "int-or-string":
        return INT_OR_STRING
    return converted


def main(source, directory):
    with open(source, encoding="utf-8") as file:
        originals = json.load(file)["definitions"]
    os.makedirs(directory)

    def write(name, schema):
        with open(os.path.join(directory, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(schema, file)

    definitions = {name: convert(schema) for name, schema in originals.items()}
    for schema in definitions.values():
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            # A manifest may say null for what is optional.
            if name not in required:
                schema["properties"][name] = {"anyOf": [field, {"type": "null"}]}
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = INT_OR_STRING
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    write("_definitions", {"definitions": definitions})

    count = 0
    for name, original in originals.items():
        kinds = original.get("x-kubernetes-group-version-kind", [])
        # Those with several are options of requests.
        if len(kinds) != 1:
            continue
        group, version, kind = kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"]
        schema = dict(definitions[name])
        schema["properties"] = dict(schema["properties"])
        schema["properties"]["kind"] = {"type": "string", "enum": [kind]}
        schema["properties"]["apiVersion"] = {"type": "string", "enum": [f"{group}/{version}" if group else version]}
        schema["required"] = sorted({*schema.get("required", []), "kind", "apiVersion"})
        first = group.split(".")[0]
        write(f"{kind.lower()}-{first}-{version}" if first else f"{kind.lower()}-{version}", schema)
        count += 1
    print(count, "schemas")


main(*sys.argv[1:])
