"""Lists, watches with bookmarks, patches and meets errors, as programs with the official client do on a cluster."""
import base64
import ssl
import sys
import time

import urllib3
from kubernetes import client, config, watch

# From 3.13 on, certificates are checked as RFC 5280 asks. What follows must not have met a laxer client.
if sys.version_info >= (3, 13):
    assert urllib3.util.ssl_.create_urllib3_context().verify_flags & ssl.VERIFY_X509_STRICT
config.load_kube_config()
core, custom = client.CoreV1Api(), client.CustomObjectsApi()
pools = ("poolkeeper.dev", "v1alpha1", "python", "containerpools")


def pool(name):
    spec = {"runtime": "Process", "min": 0, "paused": True}
    return {"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name}, "spec": spec}


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except client.ApiException as error:
        assert error.status == code, (error.status, error.body)
    else:
        raise AssertionError(f"{arguments} is not refused")


def follow():
    """Prints the name of each pool that is there or comes, until there is one called "after"."""
    place, seen, version = ("poolkeeper.dev", "v1alpha1", "default", "containerpools"), set(), None

    def show(found):
        name = found["metadata"]["name"]
        if name not in seen:
            print("pool", name, flush=True)
        seen.add(name)

    while "after" not in seen:
        try:
            if version is None:
                page = custom.list_namespaced_custom_object(*place)
                version = page["metadata"]["resourceVersion"]
                for found in page["items"]:
                    show(found)
                if "after" in seen:  # nothing more happens, so a watch would wait forever
                    break
            # Without a time limit a watch of this library begins again by itself, and meets a server that is away.
            for event in watch.Watch().stream(custom.list_namespaced_custom_object, *place, resource_version=version):
                version = event["object"]["metadata"]["resourceVersion"]
                show(event["object"])
                if "after" in seen:
                    break
        except client.ApiException as error:
            assert error.status == 410, (error.status, error.body)
            version = None
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)


if sys.argv[1:] == ["follow"]:
    follow()
    sys.exit()
core.create_namespace({"metadata": {"name": "python"}})
core.create_namespaced_secret("python", {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
assert base64.b64decode(core.read_namespaced_secret("s", "python").data["k"]) == b"v"
for name in "abc":
    custom.create_namespaced_custom_object(*pools, pool(name))
page = custom.list_namespaced_custom_object(*pools, limit=2)
rest = custom.list_namespaced_custom_object(*pools, limit=2, _continue=page["metadata"]["continue"])
assert [len(page["items"]), len(rest["items"])] == [2, 1]
custom.patch_namespaced_custom_object(*pools, "a", {"spec": {"max": 3}})
refused(404, custom.get_namespaced_custom_object, *pools, "none")
refused(409, custom.create_namespaced_custom_object, *pools, pool("a"))
refused(422, custom.patch_namespaced_custom_object, *pools, "a", {"spec": {"max": 0}})
version = page["metadata"]["resourceVersion"]
options = {"resource_version": version, "timeout_seconds": 1, "allow_watch_bookmarks": True}
events = list(watch.Watch().stream(custom.list_namespaced_custom_object, *pools, **options))
assert any(event["type"] == "MODIFIED" and event["object"]["spec"]["max"] == 3 for event in events), events
assert events[-1]["type"] == "BOOKMARK", events
core.delete_namespace("python")
print(sys.version.split()[0])
