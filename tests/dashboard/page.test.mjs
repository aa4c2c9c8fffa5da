// The page of a run in a browser: what it shows of a batch with limits, and that what tasks write is text.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { faults, launch, middle, open, poolkeeper, scratch, shot } from "./rig.mjs";

const HOSTILE = "</script><script>window.ran = 1</script><!--";
const agent = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "agent.sh");
let browser, dir, file, steps;

before(async () => {
  browser = await launch();
  dir = scratch();
  const tasks = [{ id: HOSTILE, do: "plain" }, { id: "a\u202eb\u2028c", do: "plain" }, { id: "x/../y & \"z\"", do: "wrong" }];
  for (let n = 1; n <= 24; n++) tasks.push({ id: `issue-${n}`, do: n % 6 === 2 ? "limit" : n % 9 === 4 ? "wrong" : "plain" });
  fs.writeFileSync(path.join(dir, "tasks.jsonl"), tasks.map((task) => JSON.stringify(task)).join("\n"));
  const ran = poolkeeper(["run", "--local", "agents", "--workers", "3", "--credential", "main=TOKEN:env:MAIN_TOKEN", "--tasks", "tasks.jsonl", "--out", "out",
    "--progress", "lines", "--", agent], { cwd: dir, env: { MAIN_TOKEN: "tell-me-not" } });
  assert.equal(ran.status, 1, ran.stderr);
  file = path.join(fs.realpathSync(dir), "out/report.html");
  assert.match(ran.stderr, /report: .*out\/report\.html/);
  steps = fs.readFileSync(path.join(dir, "out/.poolkeeper/steps.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
});

after(async () => {
  await browser?.close();
  fs.rmSync(dir, { recursive: true, force: true });
});

// A test that gets a page, and sees at its end that the page did nothing but show text.
const on = (name, options, act) => test(name, async () => {
  const { page, wrongs, close } = await open(browser, options.file ?? file, options);
  await act(page);
  assert.equal(await page.evaluate(() => window.ran), undefined, "a task's text was run");
  assert.deepEqual(wrongs, []);
  await close();
});

const text = (page, selector) => page.locator(selector).innerText();
const ended = (outcome) => steps.filter((step) => step.event === "ended" && (!outcome || step.outcome === outcome));

on("it shows every attempt, worker and rest of the run", {}, async (page) => {
  const { rows, attempts } = await page.evaluate(() => {
    const { data } = window.poolkeeper.state;
    return { rows: data.rows.map((row) => [row.title, row.credential, row.rests.length]), attempts: data.attempts.map((a) => a.outcome) };
  });
  assert.deepEqual(rows.map(([name, credential]) => [name, credential]), ["agents-0", "agents-1", "agents-2"].map((name) => [name, "main"]));
  assert.equal(rows.reduce((sum, [, , rests]) => sum + rests, 0), ended("RateLimited").length);
  assert.deepEqual([...attempts].sort(), ended().map((step) => step.outcome).sort());
  assert.equal(await text(page, "#count"), `${ended().length} attempts`);
  assert.match(await text(page, "#state"), /did not succeed/);
  assert.match((await text(page, "#sums")).replace(/\s+/g, " "), /of 27 tasks succeeded/);
});

on("a mouse over a bar, a rest, a worker and the waiting row says what they are", {}, async (page) => {
  const limited = await page.evaluate(() => window.poolkeeper.state.data.attempts.find((a) => a.outcome === "RateLimited").index);
  await page.mouse.move(...(await middle(page, "attempt", limited)));
  assert.match(await text(page, "#tip"), /issue-\d+ · attempt 1[\s\S]*Rate limited on agents-\d[\s\S]*rest until \d\d:\d\d:\d\d \(\d+(\.\d)?s\)[\s\S]*limit <b>met<\/b>/);
  const row = await page.evaluate(() => window.poolkeeper.state.data.rows.findIndex((row) => row.rests.length));
  await page.mouse.move(...(await middle(page, "rest", row)));
  assert.match(await text(page, "#tip"), new RegExp(`agents-${row} rests[\\s\\S]*after issue-\\d+ attempt 1: Rate limited`));
  const box = await page.locator("#canvas").boundingBox();
  await page.mouse.move(box.x + 20, box.y + 66 + 14);
  assert.match(await text(page, "#tip"), /agents-0[\s\S]*credential main[\s\S]*worked/);
  await page.mouse.move(box.x + 200, box.y + 45);
  assert.match(await text(page, "#tip"), /\d+ tasks? waits?/);
  await page.mouse.move(5, 5);
  assert.equal(await page.locator("#tip").isVisible(), false);
});

on("a click opens what is known of an attempt, without secrets", {}, async (page) => {
  const wrong = await page.evaluate(() => window.poolkeeper.state.data.attempts.find((a) => a.outcome === "Failed").index);
  await page.mouse.click(...(await middle(page, "attempt", wrong)));
  const details = await text(page, "#details");
  assert.match(details, /Failed[\s\S]*Exit code\s+3[\s\S]*stdout[\s\S]*<script>window\.ran = 1<\/script>[\s\S]*token=\*\*\*[\s\S]*\\x1b\]52;c;eA==\\x07\\x1b\[2Jend of[\s\S]*it went wrong/);
  assert.equal(fs.readFileSync(file, "utf8").includes("tell-me-not"), false);
  await shot(page, "details");
});

on("filters leave what they name", {}, async (page) => {
  const limited = ended("RateLimited").length;
  await page.locator("#find").fill("rate limited");
  assert.equal(await text(page, "#count"), `${limited} of ${ended().length} attempts`);
  assert.equal(await page.locator("#table tbody tr").count(), limited);
  await page.locator("#find").fill("");
  await page.getByRole("button", { name: /^Succeeded/ }).click();
  assert.equal(await text(page, "#count"), `${ended().length - ended("Succeeded").length} of ${ended().length} attempts`);
  const shown = await page.evaluate(() => { const { data, matches } = window.poolkeeper.state; return data.attempts.filter((a) => matches[a.index]).map((a) => a.outcome); });
  assert.equal(shown.includes("Succeeded"), false);
  await page.locator("#find").fill("no such task");
  assert.equal(await text(page, "#count"), `0 of ${ended().length} attempts`);
});

on("everything can be done with keys", {}, async (page) => {
  const focused = () => page.evaluate(() => document.activeElement.id);
  for (let n = 0; n < 40 && (await focused()) !== "scroller"; n++) await page.keyboard.press("Tab");
  assert.equal(await focused(), "scroller");
  await page.keyboard.press("n");
  assert.match(await text(page, "#said"), /attempt \d+: (Rate limited|Failed) on agents-\d/);
  const first = await text(page, "#said");
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await text(page, "#said"), first);
  const row = () => page.evaluate(() => { const { data, chosen } = window.poolkeeper.state; return data.attempts[chosen].row; });
  await page.keyboard.press("Home");
  const from = await row();
  await page.keyboard.press(from === 2 ? "ArrowUp" : "ArrowDown");
  assert.notEqual(await row(), from);
  const length = () => page.evaluate(() => window.poolkeeper.state.to - window.poolkeeper.state.from);
  const whole = await length();
  await page.keyboard.press("+");
  assert.ok((await length()) < whole);
  await page.keyboard.press("0");
  assert.equal(await length(), whole);
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "details");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#details").isVisible(), false);
  assert.equal(await focused(), "scroller");
  await page.keyboard.press("/");
  assert.equal(await focused(), "find");
});

on("the table sorts, and opens details", {}, async (page) => {
  await page.locator("#table th button", { hasText: "Took" }).click();
  await page.locator("#table th button", { hasText: "Took" }).click();
  assert.equal(await page.locator("#table th", { hasText: "Took" }).getAttribute("aria-sort"), "descending");
  const took = await page.evaluate(() => Math.max(...window.poolkeeper.state.data.attempts.map((a) => a.took)));
  await page.locator("#table tbody td button").first().click();
  const chosen = await page.evaluate(() => { const { data, chosen } = window.poolkeeper.state; return data.attempts[chosen].took; });
  assert.equal(chosen, took);
  assert.equal(await page.locator("#details").isVisible(), true);
});

on("ids of tasks are text, and control characters are seen", {}, async (page) => {
  const ids = await page.locator("#table tbody td:first-child button").allInnerTexts();
  assert.ok(ids.includes(HOSTILE), ids.join("\n"));
  assert.ok(ids.includes("a\\u{202e}b\\u{2028}c"), ids.join("\n"));
  assert.equal(await page.locator("main script, main img").count(), 0);
});

for (const [width, height] of [[1600, 1000], [360, 740]]) {
  for (const dark of [false, true]) {
    const name = `${width}-${dark ? "dark" : "light"}`;
    on(`axe finds nothing, and nothing is cut off: ${name}`, { width, height, dark, touch: width < 500 }, async (page) => {
      await shot(page, name);
      assert.deepEqual(await faults(page), []);
      await page.evaluate(() => window.poolkeeper.choose(window.poolkeeper.state.data.attempts.find((a) => a.outcome === "RateLimited").index));
      await page.locator("#keys").click();
      assert.deepEqual(await faults(page), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
      await shot(page, `${name}-chosen`);
    });
  }
}

on("a finger chooses, and two zoom", { width: 360, height: 740, touch: true }, async (page) => {
  const [x, y] = await middle(page, "attempt", await page.evaluate(() => window.poolkeeper.state.data.attempts.find((a) => a.outcome === "RateLimited").index));
  await page.touchscreen.tap(x, y);
  assert.equal(await page.locator("#details").isVisible(), true);
  const session = await page.context().newCDPSession(page);
  const length = () => page.evaluate(() => window.poolkeeper.state.to - window.poolkeeper.state.from);
  const whole = await length();
  const touch = (type, gap) => session.send("Input.dispatchTouchEvent", { type, touchPoints: gap ? [{ x: 200 - gap, y, id: 1 }, { x: 200 + gap, y, id: 2 }] : [] });
  await touch("touchStart", 20);
  for (const gap of [30, 45, 60]) await touch("touchMove", gap);
  await touch("touchEnd");
  assert.ok((await length()) < whole * 0.7);
});

test("10,000 attempts move at 30 frames a second", async () => {
  const big = path.join(scratch(), "out");
  fs.mkdirSync(path.join(big, ".poolkeeper"), { recursive: true });
  const at = (ms) => new Date(Date.UTC(2026, 10, 30, 9) + ms).toISOString();
  const lines = [{ event: "run", time: at(0), runId: "r", pool: "agents", runtime: "Docker", scope: "Worker", workers: 50, tasks: 10000, skipped: 0 }];
  for (let n = 0; n < 10000; n++) {
    const [task, worker, from] = [`issue-${n}`, `agents-${n % 50}`, Math.floor(n / 50) * 9000 + (n % 50) * 40];
    const outcome = n % 17 === 3 ? "RateLimited" : n % 23 === 5 ? "Failed" : "Succeeded";
    lines.push({ event: "started", time: at(from), task, attempt: 1, worker });
    lines.push({ event: "ended", time: at(from + 5000 + (n % 7) * 400), task, attempt: 1, worker, outcome, seconds: 5,
      ...(outcome === "RateLimited" ? { restsUntil: at(from + 8800) } : {}) });
  }
  lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  fs.writeFileSync(path.join(big, ".poolkeeper/steps.jsonl"), lines.map((line) => JSON.stringify(line)).join("\n"));
  const ran = poolkeeper(["timeline", big]);
  assert.equal(ran.status, 0, ran.stderr);
  const { page, wrongs } = await open(browser, path.join(big, "report.html"));
  assert.equal(await text(page, "#count"), "10,000 attempts");
  await shot(page, "10000");
  // The machine may be busy: one quiet second is enough, and a page that is slow has none.
  let best = Infinity;
  for (let round = 0; round < 20 && best > 1000 / 30; round++) {
    best = Math.min(best, await page.evaluate((round) => new Promise((done) => {
      const { state, look } = window.poolkeeper;
      const { to } = state.data;
      const length = to / (1 + (round % 4) * 4);
      const times = [];
      let frame = 0;
      const next = (now) => {
        times.push(now);
        look((to - length) * (frame / 45), (to - length) * (frame / 45) + length);
        document.getElementById("scroller").scrollTop = frame * 12;
        if (++frame <= 45) requestAnimationFrame(next);
        else done(times.slice(1).map((time, n) => time - times[n]).sort((a, b) => a - b)[22]);
      };
      requestAnimationFrame(next);
    }), round));
  }
  assert.ok(best <= 1000 / 30, `a frame took ${best} ms`);
  assert.deepEqual(wrongs, []);
  fs.rmSync(path.dirname(big), { recursive: true, force: true });
});
