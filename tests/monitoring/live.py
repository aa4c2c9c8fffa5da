#!/usr/bin/env python3
"""The alert rules and the dashboard in a real Prometheus, which scrapes a controller on a real API server.

scripts/ci/monitoring.sh starts it, on a cluster whose nodes only pretend to run Pods. Each alert is caused in earnest and must
fire; before that, under load, none may. Each query of the dashboard must return data. The times of the rules are shortened:
tests/monitoring/alerts.test.yaml has the real ones.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
FILES = HERE.parent.parent / "charts/poolkeeper/files/monitoring"
POOLKEEPER = os.environ["POOLKEEPER"]
STATE = pathlib.Path(os.environ["CLUSTER_STATE"])
METRICS, PROMETHEUS = 18080, 19090
# How long to wait for anything: far more than it takes.
PATIENCE = 180


def run(*command, stdin=None, may_fail=False):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def kubectl(*arguments, stdin=None, may_fail=False):
    return run("kubectl", *arguments, stdin=stdin, may_fail=may_fail).stdout


def until(what, ready):
    """Waits until ready() returns something, and returns that."""
    end = time.monotonic() + PATIENCE
    last = None
    while time.monotonic() < end:
        try:
            found = ready()
            if found:
                return found
        except (OSError, ValueError) as error:
            last = error
        time.sleep(0.2)
    sys.exit(f"not seen in {PATIENCE} s: {what}" + (f" ({last})" if last else ""))


def get(port, path, **parameters):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}{query}", timeout=10) as answer:
        return answer.read().decode()


def query(expression):
    return json.loads(get(PROMETHEUS, "/api/v1/query", query=expression))["data"]["result"]


def firing():
    """The alerts that fire, as "Name pool"; those about the controller without a pool."""
    alerts = json.loads(get(PROMETHEUS, "/api/v1/alerts"))["data"]["alerts"]
    return {f"{a['labels']['alertname']} {a['labels'].get('pool', '')}".strip() for a in alerts if a["state"] == "firing"}


def pool(name, **spec):
    return {
        "apiVersion": "poolkeeper.dev/v1alpha1",
        "kind": "ContainerPool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "busybox", "min": 1, "max": 1, "idleTimeout": "1h", **spec},
    }


def dispatch(name, of):
    return {
        "apiVersion": "poolkeeper.dev/v1alpha1",
        "kind": "Dispatch",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"pool": of},
    }


def apply(*objects):
    kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(o) for o in objects))


def one_task(of, task, outcome, *flags):
    """A task that ends at once, as a supervisor does it."""
    claimed = run(POOLKEEPER, "acquire", of, "--task", task, "--wait", f"{PATIENCE}s", "-o", "json", may_fail=True)
    if claimed.returncode:
        return False
    claim = json.loads(claimed.stdout)
    attempt = ("--uid", claim["uid"], "--attempt", str(claim["attempt"]))
    return run(POOLKEEPER, "report", task, outcome, *attempt, *flags, may_fail=True).returncode == 0


class Load:
    """Tasks one after the other in two threads, until it is ended."""

    def __init__(self, of):
        self.going, self.done = True, 0
        self.threads = [threading.Thread(target=self.work, args=(of, i), daemon=True) for i in range(2)]
        for thread in self.threads:
            thread.start()

    def work(self, of, thread):
        number = 0
        while self.going:
            number += 1
            self.done += one_task(of, f"load-{id(self) % 100000}-{thread}-{number}", "Succeeded")

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join()


def shortened():
    """The rules, with seconds in the place of minutes and hours."""
    text = (FILES / "alerts.yaml").read_text()
    text = re.sub(r"for: \w+", "for: 3s", text)
    text = text.replace("[30m]", "[60s]").replace("[10m]", "[15s]")
    file = STATE / "alerts.yaml"
    file.write_text(text)
    return file


def start(name, *command):
    log = open(STATE / f"{name}.log", "ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def start_controller():
    process = start("controller", POOLKEEPER, "controller", "--http-bind", f"127.0.0.1:{METRICS}")
    until("a controller that leads", lambda: "poolkeeper_leader 1" in get(METRICS, "/metrics"))
    return process


def start_prometheus():
    config = STATE / "prometheus.json"
    labels = {"namespace": "poolkeeper"}
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(shortened())],
                "scrape_configs": [
                    {
                        "job_name": "poolkeeper",
                        # As the chart's ServiceMonitor.
                        "honor_labels": True,
                        "static_configs": [{"targets": [f"127.0.0.1:{METRICS}"], "labels": labels}],
                    }
                ],
            }
        )
    )
    process = start(
        "prometheus",
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={STATE}/tsdb",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
    )
    until("a Prometheus that scrapes", lambda: query("poolkeeper_leader"))
    return process


def panels():
    """Each query of the dashboard, as Grafana would ask it."""
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$namespace", ".*").replace("$pool", ".*")
            yield panel["title"], expression.replace("$__rate_interval", "1m")
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            yield variable["label"], f"count by ({series[2]}) ({series[1].replace('$namespace', '.*')})"


def has_data(expression):
    return [r for r in query(expression) if r["value"][1] != "NaN"]


def expect(alerts, cause):
    until(f"{cause}: {sorted(alerts)} fire", lambda: alerts <= firing())
    others = firing() - alerts
    if others:
        sys.exit(f"{cause}: {sorted(others)} fire too")
    print(f"ok: {cause}: {', '.join(sorted(alerts)) or 'nothing'} fires", flush=True)


def main():
    kubectl("apply", "-f", str(HERE.parent.parent / "crds"))
    controller = start_controller()
    start_prometheus()
    apply(pool("load", min=2, max=2))
    kubectl("wait", "--for=condition=Ready", "cpool/load", f"--timeout={PATIENCE}s")

    # The pool was not Ready while its workers started.
    until("silence at the beginning", lambda: not firing())
    load = Load("load")
    until("60 tasks under load", lambda: load.done >= 60)
    # One more worker: an operation of the runtime.
    kubectl("patch", "cpool/load", "--type=merge", "-p", '{"spec":{"min":3,"max":3}}')
    for title, expression in panels():
        until(f"data for the panel '{title}': {expression}", lambda expression=expression: has_data(expression))
    expect(set(), f"{load.done} tasks under load")
    print(f"ok: each of {len(list(panels()))} queries of the dashboard returns data", flush=True)
    load.end()

    caused = {"PoolkeeperQueueStandsStill paused"}
    apply(pool("paused", min=0, paused=True), dispatch("waits", "paused"))
    expect(caused, "a pool is paused, and a dispatch waits")

    caused.add("PoolkeeperPoolRests rests")
    apply(pool("rests"))
    one_task("rests", "limited", "RateLimited", "--retry-after", "1h")
    apply(dispatch("waits-too", "rests"))
    expect(caused, "the only worker of a pool rests")

    caused.add("PoolkeeperCredentialParked refused")
    key = {"name": "accounts", "key": "a"}
    apply(pool("refused", min=0, credentials=[{"name": "a", "env": "TOKEN", "secretKeyRef": key}]))
    one_task("refused", "unauthorized", "Unauthorized")
    expect(caused, "a credential is refused")

    caused.add("PoolkeeperWorkersLost loses")
    apply(pool("loses", min=0, max=6))
    for number in range(1, 7):
        task = f"lost-{number}"
        claim = run(POOLKEEPER, "acquire", "loses", "--task", task, "--wait", f"{PATIENCE}s", "-o", "json")
        worker = json.loads(claim.stdout)["worker"]
        pods = kubectl("get", "pods", "-o", "name").split()
        (pod,) = [p for p in pods if p.startswith(f"pod/{worker}") or p.endswith(f"/{worker}")]
        kubectl("delete", pod, "--grace-period=0", "--force")
        until("the end of the attempt", lambda t=task: "WorkerLost" in kubectl("get", "pkd", t, "-o", "yaml"))
        until("a scrape of it", lambda n=number: query(f'poolkeeper_attempts_total{{pool="loses",outcome="WorkerLost"}} >= {n}'))
    expect(caused, "six workers of a pool die under their tasks")
    until("its end", lambda: "PoolkeeperWorkersLost loses" not in firing())
    caused.remove("PoolkeeperWorkersLost loses")

    caused.add("PoolkeeperWorkersUnavailable stuck")
    apply(pool("stuck"))
    kubectl("wait", "--for=condition=Ready", "cpool/stuck", f"--timeout={PATIENCE}s")
    until("silence of the new pool", lambda: firing() <= caused)
    (pod,) = [p for p in kubectl("get", "pods", "-o", "name").split() if "/stuck-" in p]
    sick = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    kubectl("patch", pod, "--subresource=status", "-p", json.dumps(sick))
    expect(caused | {"PoolkeeperPoolNotReady stuck"}, "the kubelet calls a Pod not ready")
    kubectl("delete", "cpool", "stuck", "--wait=false")
    until("its end", lambda: not any("stuck" in alert for alert in firing()))
    caused.remove("PoolkeeperWorkersUnavailable stuck")

    caused |= {"PoolkeeperPoolNotReady denied", "PoolkeeperRequestsFail"}
    apply(*denied())
    until("a policy that denies", lambda: "not here" in refusal())
    apply(pool("denied"))
    expect(caused, "the API server refuses the workers of a pool")
    kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-workers")
    until("its end", lambda: not {"PoolkeeperPoolNotReady denied", "PoolkeeperRequestsFail"} & firing())
    caused -= {"PoolkeeperPoolNotReady denied", "PoolkeeperRequestsFail"}

    load = Load("load")
    slow = threading.Event()
    etcd = threading.Thread(target=stop_etcd_again_and_again, args=(slow,), daemon=True)
    etcd.start()
    # Other alerts may fire meanwhile: requests fail too.
    until("slow assignments", lambda: "PoolkeeperSlowAssignments" in firing())
    print("ok: etcd stops for 7 s again and again: PoolkeeperSlowAssignments fires", flush=True)
    slow.set()
    etcd.join()
    load.end()
    until("its end", lambda: firing() <= caused)

    controller.send_signal(signal.SIGKILL)
    controller.wait()
    # With the series of pools the alerts about pools end.
    until("no series of pools", lambda: not query("poolkeeper_queue_length"))
    until("the end of their alerts", lambda: firing() <= {"PoolkeeperNoLeader"})
    expect({"PoolkeeperNoLeader"}, "the controller dies")
    controller = start_controller()
    until("its end", lambda: "PoolkeeperNoLeader" not in firing())
    print("ok: a new controller: PoolkeeperNoLeader ends", flush=True)
    controller.terminate()
    controller.wait()


def denied():
    rules = [{"apiGroups": ["poolkeeper.dev"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["workers"]}]
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "no-workers"}}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "!object.metadata.name.startsWith('denied')", "message": "not here"}],
    }
    binding = {"policyName": "no-workers", "validationActions": ["Deny"]}
    return (
        {**kind, "kind": "ValidatingAdmissionPolicy", "spec": policy},
        {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    )


def refusal():
    worker = {
        "apiVersion": "poolkeeper.dev/v1alpha1",
        "kind": "Worker",
        "metadata": {"name": "denied-0", "namespace": "default"},
        "spec": {"pool": "denied", "poolGeneration": 1, "runtime": "Pod", "templateHash": "none"},
    }
    return run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(worker), may_fail=True).stderr


def stop_etcd_again_and_again(end):
    pid = int(run("pgrep", "-f", f"{STATE}/etcd").stdout.split()[0])
    while not end.is_set():
        os.kill(pid, signal.SIGSTOP)
        try:
            end.wait(7)
        finally:
            os.kill(pid, signal.SIGCONT)
        end.wait(2)


if __name__ == "__main__":
    main()
