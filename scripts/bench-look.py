"""What scripts/bench-look.sh needs of a server and of a dashboard.

    bench-look.py fill KUBECONFIG WORKERS DISPATCHES     a pool with that many objects in the default namespace
    bench-look.py change KUBECONFIG PER_SECOND SECONDS   touches dispatches: watches see that they changed
    bench-look.py ask ADDRESS SECONDS                    asks a dashboard for views, as its page does
"""

import base64
import http.client
import json
import queue
import ssl
import sys
import threading
import time
import urllib.parse

GROUP = "/apis/poolkeeper.dev/v1alpha1/namespaces/default"


class Server:
    """A connection to a local server."""

    def __init__(self, kubeconfig):
        with open(kubeconfig, encoding="utf-8") as file:
            config = json.load(file)
        cluster = config["clusters"][0]["cluster"]
        self.address = urllib.parse.urlparse(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.token = config["users"][0]["user"]["token"]
        self.connection = None

    def send(self, method, path, body, kind="application/json"):
        """Sends a request. Answers the object."""
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.address.hostname, self.address.port, context=self.tls)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        self.connection.request(method, GROUP + path, json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()[:500]}")
        return json.loads(text)

    def create(self, plural, kind, name, spec, status, owner=None):
        """Creates an object with a status. Answers its uid."""
        meta = {"name": name, **({"ownerReferences": [owner]} if owner else {})}
        body = {"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
        uid = self.send("POST", f"/{plural}", body)["metadata"]["uid"]
        if status:
            self.send("PATCH", f"/{plural}/{name}/status", {"status": status}, "application/merge-patch+json")
        return uid


def at(seconds):
    """A time so many seconds from now."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() + seconds))


def each(kubeconfig, numbers, act, threads=16):
    """Calls act(server, number) for each number, several at a time."""
    todo, failed = queue.SimpleQueue(), []
    for number in numbers:
        todo.put(number)

    def work():
        server = Server(kubeconfig)
        try:
            while not failed:
                act(server, todo.get_nowait())
        except queue.Empty:
            pass
        except Exception as error:  # pylint: disable=broad-except
            failed.append(error)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    if failed:
        raise failed[0]


def fill(kubeconfig, workers, dispatches):
    """A third of the workers works, a third rests. Half of the dispatches are finished, the others wait or run."""
    # The pool is paused and its host cannot be reached, so that the controller leaves the objects as they are.
    spec = {"runtime": "Docker", "image": "none", "max": workers, "paused": True,
            "dispatch": {"queueLimit": 100000, "history": {"limit": 100000, "ttl": "24h"}}}
    pool = Server(kubeconfig).create("containerpools", "ContainerPool", "agents", spec, None)
    owner = {"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "name": "agents", "uid": pool,
             "controller": True, "blockOwnerDeletion": True}
    busy, finished = workers // 3, dispatches // 2
    uids = {}

    def worker(server, n):
        spec = {"pool": "agents", "poolGeneration": 1, "runtime": "Docker", "host": "local", "templateHash": "x"}
        ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": at(-3000)}
        status = {"phase": "Ready", "dispatches": 5, "idleSince": at(-n % 900), "conditions": [ready]}
        if busy <= n < 2 * busy:
            status["cooldown"] = {"until": at(3600 + n), "strikes": 1, "reason": "429: too many requests"}
        uids[n] = server.create("workers", "Worker", f"agents-{n}", spec, status, owner)

    def dispatch(server, n):
        status = None
        if n < finished:
            began, of = -3000 + n % 600 * 4, n % workers
            outcome = ["Succeeded", "Failed", "RateLimited"][n % 17 % 3 if n % 17 < 3 else 0]
            status = {"phase": "Succeeded" if outcome == "Succeeded" else "Failed", "attempt": 1, "assignedAt": at(began),
                      "finishedAt": at(began + 60), "worker": {"name": f"agents-{of}", "uid": uids[of]},
                      "lastResult": {"attempt": 1, "outcome": outcome, "closedAt": at(began + 60), "message": "it was measured"}}
        elif n < finished + busy:
            of = n - finished
            status = {"phase": "Assigned", "attempt": 1, "assignedAt": at(-300 + of % 240), "worker": {"name": f"agents-{of}", "uid": uids[of]}}
        name = f"task-{n:05}"
        uid = server.create("dispatches", "Dispatch", name, {"pool": "agents"}, status)
        if status and status["phase"] == "Assigned":
            held = {"name": name, "uid": uid, "attempt": 1, "assignedAt": status["assignedAt"]}
            server.send("PATCH", f"/workers/{status['worker']['name']}/status", {"status": {"phase": "Busy", "dispatch": held}},
                        "application/merge-patch+json")

    each(kubeconfig, range(workers), worker)
    each(kubeconfig, range(dispatches), dispatch)


def change(kubeconfig, per_second, seconds):
    """Each change is one of another dispatch that waits."""
    server, begun = Server(kubeconfig), time.monotonic()
    for n in range(int(per_second * seconds)):
        time.sleep(max(0.0, begun + n / per_second - time.monotonic()))
        # A value that was there before would be no change.
        note = {"metadata": {"annotations": {"bench-look": str(time.time_ns())}}}
        server.send("PATCH", f"/dispatches/task-{9000 + n % 1000:05}", note, "application/merge-patch+json")


def ask(address, seconds):
    """Prints: milliseconds to the first whole view, number of views, bytes of the last one."""
    where, code = urllib.parse.urlparse(address), address.split("#code=")[1]
    connection = http.client.HTTPConnection(where.hostname, where.port)

    def request(method, path, headers, body=None):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()

    begun = time.monotonic()
    _, token = request("POST", "/session", {}, code)
    headers, first, views, size = {"Authorization": f"Bearer {token.decode()}"}, None, 0, 0
    while time.monotonic() < begun + seconds:
        answer, text = request("GET", "/view", headers)
        if answer.status == 200:
            headers["If-None-Match"] = answer.headers["ETag"]
            views, size = views + 1, len(text)
            if first is None and len((json.loads(text)["view"] or {}).get("rows", [])) >= 1000:
                first = round((time.monotonic() - begun) * 1000)
        time.sleep(0.4 if first else 0.02)
    print(first, views, size)


if __name__ == "__main__":
    what, target, *numbers = sys.argv[1:]
    {"fill": fill, "change": change, "ask": ask}[what](target, *map(int, numbers))
