// The live page in a browser: it follows a pool on a real local server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { faults, launch, program, shot, watched } from "./rig.mjs";
import { Server, until } from "./server.mjs";

const HOSTILE = "<img src=x onerror=\"window.ran=1\"></script><script>window.ran=1</script>\u001b]52;c;eA==\u0007\u202e";
let browser, server;
const children = [];

before(async () => {
  browser = await launch();
  server = new Server();
  server.up();
  server.run("create", "pool", "agents", "--runtime", "Process", "--max", "3", "--min", "3");
});

after(async () => {
  // Those of a test that failed, too: node waits for them.
  for (const child of children) child.kill("SIGKILL");
  await browser?.close();
  server?.end();
});

const text = (page, selector) => page.locator(selector).innerText();
const state = (page, look) => page.evaluate(look);
const follow = (page, what, is) => page.waitForFunction(is, what, { timeout: 120000 });

// Opens the page as a person does: the command starts a browser with a file that leads to the page.
async function open(options = {}) {
  const script = path.join(server.dir, `browser-${Math.random()}`);
  fs.writeFileSync(script, `#!/bin/sh\nstat -c '%a %n' "$1" > ${script}.new && mv ${script}.new ${script}.file\n`, { mode: 0o755 });
  const child = spawn(path.resolve(program), ["dashboard", ...(options.args ?? [])], { env: { ...process.env, ...server.env, BROWSER: script } });
  children.push(child);
  child.stdout.resume();
  child.stderr.resume();
  const [mode, file] = (await until("a browser is started", () => fs.existsSync(`${script}.file`) && fs.readFileSync(`${script}.file`, "utf8"))).trim().split(" ");
  assert.equal(mode, "600");
  const origin = /url=(http:\/\/127\.0\.0\.1:\d+)\//.exec(fs.readFileSync(file, "utf8"))[1];
  const opened = await watched(browser, (request) => request.url() === `file://${file}` || request.url().startsWith(`${origin}/`), options);
  await opened.page.goto(`file://${file}`);
  await opened.page.waitForURL(`${origin}/`);
  await follow(opened.page, undefined, () => window.poolkeeper?.state.width > 0);
  return { ...opened, child, origin, async end() { await opened.close(); child.kill("SIGKILL"); } };
}

test("the page follows attempts, their outcomes and rests", async () => {
  server.acquire("before-it");
  server.report("before-it", "Succeeded");
  const { page, wrongs, end } = await open();
  // Nothing of the key is left where a browser keeps it.
  assert.equal(await state(page, () => location.hash + document.cookie + localStorage.length + sessionStorage.length), "00");
  assert.match(await text(page, "#when"), /namespace default of the local server · watched since \d\d:\d\d:\d\d; of the time before only/);
  assert.equal(await text(page, "#title"), "agents");
  // It ended before the page was there; its dispatch still says so.
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "before-it" && a.outcome === "Succeeded"));

  server.acquire("seen");
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "seen" && a.outcome === "Running"));
  assert.equal(await text(page, "#state"), "Live");
  const end1 = await state(page, () => window.poolkeeper.state.data.attempts.find((a) => a.title === "seen").to);
  await follow(page, end1, (end) => window.poolkeeper.state.data.attempts.find((a) => a.title === "seen").to > end);
  await page.locator("#table button", { hasText: "seen" }).click();
  assert.match(await text(page, "#details"), /Running/);
  server.report("seen", "RateLimited", "--retry-after", "10m", "--message", HOSTILE);
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "seen" && a.outcome === "RateLimited"));
  await follow(page, undefined, () => /Rate limited[\s\S]*onerror[\s\S]*\\x1b\]52;c;eA==\\x07\\u\{202e\}/.test(document.getElementById("details").innerText));
  assert.equal(await page.locator("main img, main script").count(), 0);

  // What the server recorded of it, as text.
  await follow(page, undefined, () => /Events[\s\S]*seen: Warning, AttemptLimited: [\s\S]*onerror[\s\S]*\\x1b\]52/.test(document.getElementById("details").innerText));
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.deepEqual(await faults(page), []);

  // The rest counts down.
  const rest = () => [...document.querySelectorAll("#workers-table td.now")].map((cell) => /^Rests, (.*) left$/.exec(cell.textContent)?.[1]).find(Boolean);
  const first = await (await follow(page, undefined, rest)).jsonValue();
  assert.match(first, /^(9m\d+s|9m|10m)$/);
  await follow(page, first, (first) => [...document.querySelectorAll("#workers-table td.now")].some((cell) => /^Rests, /.test(cell.textContent) && !cell.textContent.includes(`Rests, ${first} left`)));
  assert.deepEqual(await state(page, () => window.poolkeeper.state.data.attempts.filter((a) => a.title === "seen").map((a) => a.n)), [1]);

  // What waits, and why.
  for (const task of ["busy-1", "busy-2"]) server.acquire(task);
  const waits = spawn(path.resolve(program), ["acquire", "agents", "--task", "waits"], { env: { ...process.env, ...server.env } });
  children.push(waits);
  await follow(page, undefined, () => window.poolkeeper.state.data.present.waiting === 1 && window.poolkeeper.state.data.present.running === 2);
  assert.match((await text(page, "#sums")).replace(/\s+/g, " "), /waiting 1 running 2/);
  await follow(page, undefined, () => /1 dispatch waits: /.test(document.getElementById("insight").innerText));
  waits.kill("SIGINT");
  for (const task of ["busy-1", "busy-2"]) server.report(task, "Failed", "--message", "it went wrong");
  await follow(page, undefined, () => window.poolkeeper.state.data.present.waiting === 0 && window.poolkeeper.state.data.counts.get("Failed") === 2);
  await shot(page, "live");
  assert.equal(await state(page, () => window.ran), undefined, "a task's text was run");
  assert.deepEqual(wrongs, []);
  await end();
});

test("several pools: one is chosen, and the page stays with it", async () => {
  server.run("create", "pool", "others", "--runtime", "Process", "--max", "1", "--min", "1");
  const { page, wrongs, end } = await open();
  await follow(page, undefined, () => document.getElementById("pool").options.length === 2);
  await page.getByLabel("Pool").selectOption("others");
  await follow(page, undefined, () => window.poolkeeper.state.data.pool === "others");
  assert.equal(await text(page, "#title"), "others");
  server.acquire("there", "others");
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "there"));
  server.report("there", "Succeeded");
  await follow(page, undefined, () => window.poolkeeper.state.data.counts.get("Succeeded") === 1);
  server.run("delete", "pool", "others");
  await follow(page, undefined, () => document.getElementById("pools").hidden && window.poolkeeper.state.data.pool === "agents");
  assert.deepEqual(wrongs, []);
  await end();
});

test("a server that is killed is named, and the page goes on when it is back", async () => {
  server.acquire("survives");
  const { page, end } = await open();
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "survives" && a.running));
  process.kill(server.pid(), "SIGKILL");
  await follow(page, undefined, () => /the local server is away since \d\d:\d\d:\d\d/.test(document.getElementById("banner").innerText));
  assert.equal(await text(page, "#state"), "The server is away");
  await shot(page, "live-lost");
  assert.deepEqual(await faults(page), []);
  server.up();
  await follow(page, undefined, () => document.getElementById("banner").hidden && document.getElementById("state").textContent === "Live");
  server.report("survives", "Succeeded");
  await follow(page, undefined, () => window.poolkeeper.state.data.attempts.some((a) => a.title === "survives" && a.outcome === "Succeeded"));
  // The time in between was not watched, and is shown so.
  assert.equal(await state(page, () => window.poolkeeper.state.data.runs.length), 2);
  await end();
});

test("a dashboard that has ended is named", async () => {
  const { page, child, close } = await open();
  child.kill("SIGKILL");
  await follow(page, undefined, () => /The dashboard does not answer since/.test(document.getElementById("banner").innerText));
  await close();
});

test("a page that is loaded again has no key any more, and says what helps", async () => {
  const { page, end } = await open();
  await page.reload();
  await follow(page, undefined, () => /Press Enter where `poolkeeper dashboard` runs/.test(document.getElementById("banner").innerText));
  assert.equal(await page.locator("#main").isVisible(), false);
  await end();
});

test("it is read without a mouse, on a phone and in the dark", async () => {
  for (const [width, height] of [[1600, 1000], [360, 740]]) {
    for (const dark of [false, true]) {
      const { page, wrongs, end } = await open({ width, height, dark, touch: width < 500 });
      await follow(page, undefined, () => document.querySelectorAll("#table tbody tr").length > 2);
      assert.deepEqual(await faults(page), []);
      assert.ok(await state(page, () => document.documentElement.scrollWidth <= window.innerWidth));
      await shot(page, `live-${width}-${dark ? "dark" : "light"}`);
      assert.deepEqual(wrongs, []);
      await end();
    }
  }
});

test("whoever is in the table stays there while it changes", async () => {
  const { page, end } = await open();
  await page.locator("#table button", { hasText: "seen" }).focus();
  server.acquire("newer");
  server.report("newer", "Succeeded");
  await follow(page, undefined, () => [...document.querySelectorAll("#table tbody tr")].some((row) => row.textContent.includes("newer")));
  assert.equal(await state(page, () => document.activeElement.textContent), "seen");
  await end();
});
