#!/usr/bin/env python3
"""Prints the bill of materials of the program for one target, as CycloneDX 1.5 in JSON:

  scripts/release/sbom.py TARGET

It names every crate that is compiled into the program or that runs while it is built, with the checksum of Cargo.lock. No path
and no time is in it, so it is the same wherever it is made."""

import json
import subprocess
import sys
import tomllib

target = sys.argv[1]
command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
with open("Cargo.lock", "rb") as file:
    lock = {(entry["name"], entry["version"]): entry.get("checksum") for entry in tomllib.load(file)["package"]}


def needs(id):
    """What a package needs to be built; what only its tests need is left out."""
    deps = nodes[id]["deps"]
    return sorted(dep["pkg"] for dep in deps if any(kind["kind"] != "dev" for kind in dep["dep_kinds"]))


def ref(id):
    return f"pkg:cargo/{packages[id]['name']}@{packages[id]['version']}"


def component(id):
    package = packages[id]
    found = {
        "type": "library",
        "bom-ref": ref(id),
        "name": package["name"],
        "version": package["version"],
        "purl": ref(id),
    }
    if package["license"]:
        # The old way to write OR.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = lock[package["name"], package["version"]]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


root = metadata["resolve"]["root"]
reached, ahead = {root}, [root]
while ahead:
    new = [id for id in needs(ahead.pop()) if id not in reached]
    reached.update(new)
    ahead.extend(new)
ordered = sorted(reached, key=ref)
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": component(root) | {"type": "application"}, "properties": [{"name": "cargo:target", "value": target}]},
    "components": [component(id) for id in ordered if id != root],
    "dependencies": [{"ref": ref(id), "dependsOn": sorted(map(ref, needs(id)))} for id in ordered],
}
json.dump(bom, sys.stdout, indent=1)
print()
