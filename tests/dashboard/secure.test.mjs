// Who may look at a dashboard, and what it asks of a server.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";

import { ask, between, Server, until } from "./server.mjs";

let board, server;

before(async () => {
  server = new Server();
  server.up();
  server.run("create", "pool", "agents", "--runtime", "Process", "--max", "1");
  board = await server.dashboard();
});

after(async () => {
  await board?.end();
  server?.end();
});

// A new address of a dashboard, and its code.
async function again(board) {
  const before = board.addresses.length;
  board.child.stdin.write("\n");
  await until("another address", () => board.addresses.length > before);
  return board.addresses.at(-1).split("#code=")[1];
}

const enter = async (board) => (await board.ask("POST", "/session", {}, await again(board))).text;

test("every answer forbids what a page does not need", async () => {
  const bearer = { Authorization: `Bearer ${await enter(board)}` };
  const answers = [await board.ask("GET", "/"), await board.ask("GET", "/view", bearer), await board.ask("GET", "/view"), await board.ask("GET", "/x"),
    await board.ask("POST", "/session", {}, "x"), await board.ask("GET", "/", { Host: "evil.example" })];
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 401, 404, 403, 403]);
  for (const { headers } of answers) {
    assert.match(headers["content-security-policy"], /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'; .*frame-ancestors 'none'$/);
    assert.deepEqual([headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"], headers["x-frame-options"]],
      ["nosniff", "no-referrer", "no-store", "DENY"]);
    assert.equal(headers["set-cookie"], undefined);
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
  // The page itself holds nothing of the server.
  assert.equal(answers[0].text.includes("agents"), false);
});

test("without a token there is nothing to see", async () => {
  for (const headers of [{}, { Authorization: "Bearer " }, { Authorization: "Bearer x" }, { Authorization: `Bearer ${board.code1}` }, { Cookie: "token=x" }]) {
    const { status, text } = await board.ask("GET", "/view", headers);
    assert.deepEqual([status, text.includes("agents")], [401, false]);
  }
});

test("a code serves once, and the next one voids it", async () => {
  const first = await again(board);
  const second = await again(board);
  assert.equal((await board.ask("POST", "/session", {}, first)).status, 403);
  const { status, text } = await board.ask("POST", "/session", {}, second);
  assert.deepEqual([status, (await board.ask("GET", "/view", { Authorization: `Bearer ${text}` })).status], [200, 200]);
  const used = await board.ask("POST", "/session", {}, second);
  assert.deepEqual([used.status, used.text.includes("used already")], [403, true]);
});

test("other hosts, other pages and other methods are refused", async () => {
  const bearer = { Authorization: `Bearer ${await enter(board)}` };
  for (const Host of ["localhost", `localhost:${board.port}`, "127.0.0.1", "evil.example", `evil.example:${board.port}`, `[::1]:${board.port}`]) {
    assert.equal((await board.ask("GET", "/view", { ...bearer, Host })).status, 403, Host);
    assert.equal((await board.ask("GET", "/", { Host })).status, 403, Host);
  }
  for (const Origin of ["null", "http://evil.example", `http://localhost:${board.port}`, `https://${board.host}`]) {
    assert.equal((await board.ask("GET", "/view", { ...bearer, Origin })).status, 403, Origin);
    assert.equal((await board.ask("POST", "/session", { Origin }, await again(board))).status, 403, Origin);
  }
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]) {
    const { status, headers } = await board.ask(method, "/view", bearer);
    assert.deepEqual([status, headers.allow], [405, "GET"], method);
  }
  assert.equal((await board.ask("GET", "/session", bearer)).status, 404);
  assert.equal((await board.ask("GET", "/view", { ...bearer, Origin: `http://${board.host}` })).status, 200);
});

test("it listens on 127.0.0.1 and on nothing else", () => {
  const hex = board.port.toString(16).toUpperCase().padStart(4, "0");
  const listens = (file) => fs.readFileSync(file, "utf8").split("\n").map((line) => line.trim().split(/\s+/)).filter((at) => at[3] === "0A" && at[1].endsWith(`:${hex}`)).map((at) => at[1]);
  assert.deepEqual(listens("/proc/net/tcp"), [`0100007F:${hex}`]);
  assert.deepEqual(listens("/proc/net/tcp6"), []);
});

test("a port that is taken is named", async () => {
  const second = await server.dashboard(["--port", String(board.port)]);
  assert.equal(await second.ended, 4);
  assert.match(second.said, new RegExp(`--port ${board.port}: .*choose another one`));
});

test("it reads three kinds and the version, nothing else, and no code is in the arguments of a process", async () => {
  const proxy = await between(server);
  const other = await server.dashboard([], { KUBECONFIG: proxy.file });
  const bearer = { Authorization: `Bearer ${await enter(other)}` };
  const view = await until("a view", async () => JSON.parse((await other.ask("GET", "/view", bearer)).text).view);
  assert.equal(view.pool, "agents");
  const kinds = new Set(proxy.asked.map((asked) => asked.replace(/\?.*/, "")));
  const three = ["containerpools", "dispatches", "workers"].map((kind) => `GET /apis/poolkeeper.dev/v1alpha1/namespaces/default/${kind}`);
  // Its version, for the time and to see that it answers.
  assert.deepEqual([...kinds].sort(), [...three, "GET /version"]);
  // Events are asked for with the details of an attempt, and only those of its dispatch and its worker.
  const before = proxy.asked.length;
  assert.deepEqual((await other.ask("GET", "/events?dispatch=a&worker=agents-0")).status, 401);
  const events = JSON.parse((await other.ask("GET", "/events?dispatch=a&worker=agents-0", bearer)).text);
  assert.deepEqual([events.dispatch, Array.isArray(events.worker.events), events.logs], [{ events: [] }, true, "poolkeeper logs agents-0"]);
  const asked = () => proxy.asked.slice(before).filter((one) => one.includes("/events")).map((one) => decodeURIComponent(one)).sort();
  const of = (kind, name) => `GET /api/v1/namespaces/default/events?&fieldSelector=involvedObject.kind=${kind},involvedObject.name=${name}&limit=500`;
  assert.deepEqual(asked(), [of("Dispatch", "a"), of("Worker", "agents-0")]);
  // No name adds to the selector.
  const wrong = JSON.parse((await other.ask("GET", "/events?dispatch=a,type%3DNormal&worker=../x", bearer)).text);
  assert.match(wrong.dispatch.unknown + wrong.worker.unknown, /"a,type=Normal" is no name.*"\.\.\/x" is no name/);
  assert.equal(asked().length, 2);
  assert.equal(fs.readFileSync(`/proc/${other.child.pid}/cmdline`, "utf8").includes(other.code1), false);
  await other.end();
  proxy.end();
});

test("who may not list workers is told that, and sees nothing else", async () => {
  const message = 'workers.poolkeeper.dev is forbidden: User "me" cannot list resource "workers" in API group "poolkeeper.dev" in the namespace "default"';
  const forbids = (request) => (/\/workers\b/.test(request.url) ? { code: 403, reason: "Forbidden", message } : undefined);
  const proxy = await between(server, forbids);
  const refused = await server.dashboard([], { KUBECONFIG: proxy.file });
  assert.equal(await refused.ended, 7);
  assert.deepEqual([refused.said.includes(message), refused.addresses], [true, []]);
  proxy.end();

  // The right is taken away later.
  let taken = false;
  const second = await between(server, (request) => (taken ? forbids(request) : undefined));
  const other = await server.dashboard([], { KUBECONFIG: second.file });
  const bearer = { Authorization: `Bearer ${await enter(other)}` };
  await until("a view", async () => JSON.parse((await other.ask("GET", "/view", bearer)).text).view);
  taken = true;
  second.cut();
  const answer = await until("a refusal", async () => { const found = JSON.parse((await other.ask("GET", "/view", bearer)).text); return found.refused && found; });
  assert.deepEqual([answer.refused, answer.view, answer.pools, answer.pool], [[message], null, [], null]);
  await other.end();
  second.end();
});

test("who may not read Events sees all the rest", async () => {
  const message = 'events is forbidden: User "me" cannot list resource "events" in API group "" in the namespace "default"';
  const proxy = await between(server, (request) => (request.url.includes("/events") ? { code: 403, reason: "Forbidden", message } : undefined));
  const other = await server.dashboard([], { KUBECONFIG: proxy.file });
  const bearer = { Authorization: `Bearer ${await enter(other)}` };
  await until("a view", async () => JSON.parse((await other.ask("GET", "/view", bearer)).text).view);
  const events = JSON.parse((await other.ask("GET", "/events?dispatch=a&worker=agents-0", bearer)).text);
  assert.deepEqual([events.dispatch, events.worker], [{ events: [], unknown: message }, { events: [], unknown: message }]);
  assert.equal(JSON.parse((await other.ask("GET", "/view", bearer)).text).refused, undefined);
  await other.end();
  proxy.end();
});

test("a page that asks with what it has waits for something new", async () => {
  const bearer = { Authorization: `Bearer ${await enter(board)}` };
  const tag = (await board.ask("GET", "/view", bearer)).headers.etag;
  const waits = board.ask("GET", "/view", { ...bearer, "If-None-Match": tag });
  server.acquire("new");
  const answer = await waits;
  assert.equal(answer.status, 200);
  assert.notEqual(answer.headers.etag, tag);
  server.report("new", "Succeeded");
  // A request that is no HTTP ends its connection and nothing else.
  await assert.rejects(ask({ port: board.port, method: "GET", path: "/", headers: { Host: board.host, "X-Long": "x".repeat(40000) } }).then((answer) => assert.ok(answer.status < 400, String(answer.status))));
  assert.equal((await board.ask("GET", "/")).status, 200);
});
