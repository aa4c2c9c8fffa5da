#!/usr/bin/env python3
"""Runs one command for each task in the workers of a pool, with the official Kubernetes client.

    pip install kubernetes
    eval "$(poolkeeper local env)"          # or any kubeconfig
    ./supervisor.py --pool agents --state DIR TASKS.txt -- COMMAND

A task is a line of the file: a name that an object may have. COMMAND gets it as its last argument. It may be killed
at any moment, by any signal, and started again with the same arguments: no task is lost, none that is done runs again,
and no two attempts of a task run at the same time. What makes this so:

- An attempt is started at most once. Before that, DIR/ATTEMPT.started is written and synced; when COMMAND has ended,
  DIR/ATTEMPT.ended gets its exit code. A supervisor that starts again reports what ended. Of an attempt that was
  started and has no end it does not know whether it still runs: it reports Lost, and Poolkeeper removes the worker
  before it lets another attempt begin.
- Its Lease says that it lives. If nobody starts it again, its attempts end when the Lease does.
- A report names the uid and the attempt. A report that comes too late changes nothing.
"""

import argparse
import concurrent.futures
import datetime
import os
import pathlib
import subprocess
import sys
import threading
import time

from kubernetes import client, config, watch

API = {"group": "poolkeeper.dev", "version": "v1alpha1"}
FINAL = {"Succeeded", "Failed", "Expired", "Cancelled"}
LEASE_SECONDS = 15


def outcome(code):
    """What an exit code means. 75 is what sysexits.h calls a temporary failure; 125 is what docker and poolkeeper return
    when they themselves failed."""
    return {0: "Succeeded", 75: "RateLimited", 125: "Lost"}.get(code, "Failed")


class Supervisor:
    def __init__(self, args):
        self.args = args
        self.state = pathlib.Path(args.state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.namespace = args.namespace
        self.objects = client.CustomObjectsApi()
        self.leases = client.CoordinationV1Api()
        self.lease = f"supervisor-{args.name}"
        self.taken = set()  # the attempts that this process has dealt with
        self.lock = threading.Lock()

    # The Lease

    def renew(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        spec = {"holderIdentity": self.args.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        body = {"metadata": {"name": self.lease}, "spec": spec}
        try:
            self.leases.patch_namespaced_lease(self.lease, self.namespace, body)
        except client.ApiException as error:
            if error.status != 404:
                raise
            self.leases.create_namespaced_lease(self.namespace, body)

    def keep_renewing(self):
        while True:
            try:
                self.renew()
            except Exception as error:  # The server may be away for a while.
                print(f"the Lease is not renewed: {error}", file=sys.stderr)
            time.sleep(LEASE_SECONDS / 3)

    # Requests

    def submit(self, task):
        """Asks for a worker. A Dispatch that is there already, of an earlier start, is taken over as it is."""
        body = {
            "apiVersion": "poolkeeper.dev/v1alpha1",
            "kind": "Dispatch",
            "metadata": {"name": task, "labels": {"supervisor": self.args.name}},
            "spec": {
                "pool": self.args.pool,
                "leaseName": self.lease,
                "retry": {"rateLimited": -1, "lost": 10, "workerLost": 3},
            },
        }
        try:
            self.objects.create_namespaced_custom_object(**API, namespace=self.namespace, plural="dispatches", body=body)
        except client.ApiException as error:
            if error.status != 409:
                raise

    def report(self, dispatch, code):
        """Reports the end of the open attempt. 404, 409 and 422 say that it is not open any more."""
        result = {"attempt": dispatch["status"]["attempt"], "outcome": outcome(code), "retryAfter": None, "message": None}
        if code not in (0, 75):
            result["message"] = f"exit code {code}"
        body = {"metadata": {"uid": dispatch["metadata"]["uid"]}, "spec": {"result": result}}
        name = dispatch["metadata"]["name"]
        while True:
            try:
                self.objects.patch_namespaced_custom_object(
                    **API, namespace=self.namespace, plural="dispatches", name=name, body=body
                )
                return
            except client.ApiException as error:
                if error.status in (404, 409, 422):
                    return
                problem = error
            except Exception as error:
                problem = error
            # A report is worth waiting for: it may be sent again, since it names the attempt.
            print(f"{name}: the report is repeated: {problem}", file=sys.stderr)
            time.sleep(1)

    # Attempts

    def write(self, path, text):
        """Writes a file that is there as a whole or not at all, also after a loss of power."""
        part = path.with_suffix(".part")
        with open(part, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        directory = os.open(self.state, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def attempt(self, dispatch):
        name, status = dispatch["metadata"]["name"], dispatch["status"]
        key = f"{name}.{dispatch['metadata']['uid']}.{status['attempt']}"
        started, ended = self.state / f"{key}.started", self.state / f"{key}.ended"
        if ended.exists():
            code = int(ended.read_text())
        elif started.exists():
            code = 125
        else:
            self.write(started, "")
            argv = status["target"]["argv"] + self.args.command + [name]
            code = subprocess.run(argv, stdin=subprocess.DEVNULL).returncode
            code = code if 0 <= code <= 128 else 125  # A signal ended it, here or there: it may still run.
            self.write(ended, str(code))
        self.report(dispatch, code)

    def run(self):
        tasks = [line.strip() for line in open(self.args.tasks) if line.strip()]
        self.renew()
        threading.Thread(target=self.keep_renewing, daemon=True).start()
        for task in tasks:
            self.submit(task)
        left, failed = set(tasks), 0
        selector = f"supervisor={self.args.name}"
        # As many threads as there are attempts at a time: the pool's max bounds them.
        with concurrent.futures.ThreadPoolExecutor(max_workers=64) as threads:
            while left:
                try:
                    listed = self.objects.list_namespaced_custom_object(
                        **API, namespace=self.namespace, plural="dispatches", label_selector=selector
                    )
                    for dispatch in listed["items"]:
                        failed += self.look(dispatch, left, threads)
                    if not left:
                        break
                    events = watch.Watch().stream(
                        self.objects.list_namespaced_custom_object,
                        **API,
                        namespace=self.namespace,
                        plural="dispatches",
                        label_selector=selector,
                        resource_version=listed["metadata"]["resourceVersion"],
                        timeout_seconds=60,
                    )
                    for event in events:
                        if event["type"] in ("ADDED", "MODIFIED"):
                            failed += self.look(event["object"], left, threads)
                        if not left:
                            break
                except Exception as error:  # Old versions, and servers that are away: list again.
                    print(f"the watch begins again: {error}", file=sys.stderr)
                    time.sleep(1)
        self.leases.delete_namespaced_lease(self.lease, self.namespace)
        return 1 if failed else 0

    def look(self, dispatch, left, threads):
        """Starts the open attempt of a Dispatch once. Returns 1 if it ended without success."""
        name, status = dispatch["metadata"]["name"], dispatch.get("status", {})
        if status.get("phase") in FINAL:
            if name not in left:
                return 0
            left.discard(name)
            print(f"{name}: {status['phase']}", flush=True)
            return int(status["phase"] != "Succeeded")
        open_attempt = status.get("attempt", 0) > status.get("lastResult", {}).get("attempt", 0)
        key = (dispatch["metadata"]["uid"], status.get("attempt"))
        if open_attempt and status.get("target") and key not in self.taken:
            self.taken.add(key)
            threads.submit(self.attempt, dispatch).add_done_callback(self.watch_thread)
        return 0

    @staticmethod
    def watch_thread(done):
        """An attempt whose thread failed, as by a full disk, must not be forgotten in silence."""
        if done.exception() is not None:
            print(f"an attempt cannot be run: {done.exception()}", file=sys.stderr)
            os._exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pool", required=True)
    parser.add_argument("--state", required=True, help="directory that must outlive this process")
    parser.add_argument("--name", default="example", help="name of this supervisor, for its Lease")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("tasks")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    config.load_config()
    sys.exit(Supervisor(args).run())


if __name__ == "__main__":
    main()
