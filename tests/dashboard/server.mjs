// A local server of its own, and dashboards of it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import readline from "node:readline";

import { poolkeeper, program, scratch } from "./rig.mjs";

// Waits for a condition. A machine that is slow makes it slow, and nothing else.
export async function until(what, is) {
  for (let n = 0; n < 2400; n++) {
    const found = await is();
    if (found) return found;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  throw new Error(`it did not come: ${what}`);
}

export class Server {
  constructor() {
    this.dir = fs.realpathSync(scratch());
    this.env = { POOLKEEPER_HOME: path.join(this.dir, "home"), KUBECONFIG: "", POOLKEEPER_CONTEXT: "", XDG_RUNTIME_DIR: this.dir };
  }

  run(...args) {
    const ran = poolkeeper(args, { cwd: this.dir, env: this.env });
    assert.equal(ran.status, 0, `${args.join(" ")}: ${ran.stderr}`);
    return ran.stdout;
  }

  up() { this.run("local", "up"); }
  pid() { return JSON.parse(this.run("local", "status", "-o", "json")).pid; }
  acquire(task, ...more) { this.run("acquire", more[0] ?? "agents", "--task", task, "--wait", "2m", ...more.slice(1)); }
  report(task, ...more) { this.run("report", task, ...more); }

  end() {
    poolkeeper(["local", "down", "--purge", "--yes"], { env: this.env });
    poolkeeper(["local", "down"], { env: this.env });
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  // A dashboard without a browser. `address` is the last address that it printed.
  async dashboard(args = [], env = {}) {
    const child = spawn(path.resolve(program), ["dashboard", "--no-browser", ...args], { env: { ...process.env, ...this.env, ...env } });
    const board = { child, said: "", addresses: [] };
    child.stderr.on("data", (data) => { board.said += data; });
    readline.createInterface({ input: child.stdout }).on("line", (line) => board.addresses.push(line));
    board.ended = new Promise((done) => { child.on("exit", (code) => { board.code = code; done(code); }); });
    await until("a dashboard prints its address, or ends", () => board.addresses.length || board.code !== undefined);
    board.address = board.addresses[0];
    if (board.address) {
      const url = new URL(board.address);
      [board.port, board.host, board.code1] = [Number(url.port), url.host, url.hash.replace("#code=", "")];
    }
    // A request with exactly these headers.
    board.ask = (method, where, headers = {}, body) => ask({ port: board.port, method, path: where, headers: { Host: board.host, ...headers } }, body);
    board.end = async () => { child.kill("SIGTERM"); return board.ended; };
    return board;
  }
}

export function ask(options, body) {
  return new Promise((done, failed) => {
    const request = http.request({ host: "127.0.0.1", setHost: false, agent: false, ...options }, (answer) => {
      let text = "";
      answer.on("data", (data) => { text += data; });
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text }));
    });
    request.on("error", failed);
    request.end(body);
  });
}

// Stands between a dashboard and a server. It keeps what was asked, and answers by itself what `refuses` says.
export async function between(server, refuses = () => undefined) {
  const config = JSON.parse(fs.readFileSync(path.join(server.env.POOLKEEPER_HOME, "kubeconfig"), "utf8"));
  const [target, token] = [new URL(config.clusters[0].cluster.server), config.users[0].user.token];
  const asked = [];
  const listener = http.createServer((request, answer) => {
    asked.push(`${request.method} ${request.url}`);
    const refusal = refuses(request);
    if (refusal) {
      answer.writeHead(refusal.code, { "Content-Type": "application/json" });
      answer.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", metadata: {}, ...refusal }));
      return;
    }
    const onward = https.request({ host: target.hostname, port: target.port, path: request.url, method: request.method, rejectUnauthorized: false, agent: false,
      headers: { ...request.headers, host: target.host, authorization: `Bearer ${token}` } }, (back) => {
      answer.writeHead(back.statusCode, back.headers);
      back.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((done) => { listener.listen(0, "127.0.0.1", done); });
  const file = path.join(server.dir, `kubeconfig-${listener.address().port}`);
  fs.writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "Config", "current-context": "c",
    clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${listener.address().port}` } }], users: [{ name: "u", user: {} }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u", namespace: "default" } }] }));
  return { asked, file, cut() { listener.closeAllConnections(); }, end() { listener.closeAllConnections(); listener.close(); } };
}
