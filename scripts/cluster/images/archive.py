#!/usr/bin/env python3
"""Makes an image archive of a directory, as `docker save` would: no registry, no engine, and the same bytes each time.

    archive.py OUT.tar REFERENCE DIRECTORY [--entrypoint JSON] [--cmd JSON] [--env K=V]... [--user U] [--workdir D]
"""
import argparse
import hashlib
import io
import json
import os
import tarfile

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("reference")
parser.add_argument("directory")
parser.add_argument("--entrypoint", default="null")
parser.add_argument("--cmd", default="null")
parser.add_argument("--env", action="append", default=[])
parser.add_argument("--user", default="")
parser.add_argument("--workdir", default="/")
args = parser.parse_args()


def anonymous(entry):
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def pack(directory):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for parent, directories, files in os.walk(directory):
            directories.sort()
            for name in sorted(directories + files):
                path = os.path.join(parent, name)
                layer.add(path, os.path.relpath(path, directory), recursive=False, filter=anonymous)
    return packed.getvalue()


layer = pack(args.directory)
digest = hashlib.sha256(layer).hexdigest()
config = {
    "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
    "os": "linux",
    "created": EPOCH,
    "config": {
        "Env": [PATH] + args.env,
        "Entrypoint": json.loads(args.entrypoint),
        "Cmd": json.loads(args.cmd),
        "User": args.user,
        "WorkingDir": args.workdir,
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]},
    "history": [{"created": EPOCH, "created_by": "archive.py"}],
}
config = json.dumps(config, sort_keys=True).encode()
name = hashlib.sha256(config).hexdigest() + ".json"
manifest = [{"Config": name, "RepoTags": [args.reference], "Layers": [digest + "/layer.tar"]}]
with tarfile.open(args.out, "w") as archive:
    for path, data in (
        (name, config),
        (digest + "/layer.tar", layer),
        ("manifest.json", json.dumps(manifest).encode()),
    ):
        entry = tarfile.TarInfo(path)
        entry.size = len(data)
        entry.mode = 0o644
        archive.addfile(entry, io.BytesIO(data))
print(args.reference, len(layer), "bytes")
