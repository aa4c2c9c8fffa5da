// What the tests of the page share: the program, a browser, and a page that is watched.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

// Where scripts/ci/page.sh installs the browser's driver and axe.
const modules = createRequire(path.join(process.env.POOLKEEPER_PAGE_MODULES ?? "", "node_modules/"));
const { chromium } = modules("playwright-core");
const axe = fs.readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");
export const program = process.env.POOLKEEPER ?? "target/debug/poolkeeper";
const shots = process.env.POOLKEEPER_SHOTS ?? fs.mkdtempSync(path.join(os.tmpdir(), "poolkeeper-shots-"));

export const scratch = () => fs.mkdtempSync(path.join(os.tmpdir(), "poolkeeper-page-"));

// Runs the program. Answers how it ended and what it said.
export function poolkeeper(args, options = {}) {
  const ran = spawnSync(path.resolve(program), args, { encoding: "utf8", ...options, env: { ...process.env, ...options.env } });
  if (ran.error) throw ran.error;
  return ran;
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync"],
});

// A page that is watched: `wrongs` lists what a page that only shows text never does. `may`: which requests it may make.
export async function watched(browser, may, { width = 1600, height = 1000, dark = false, touch = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: touch, timezoneId: "UTC" });
  const page = await context.newPage();
  const wrongs = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrongs.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrongs.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => { wrongs.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!may(request)) wrongs.push(`request: ${request.url()}`); });
  return { page, wrongs, close: () => context.close() };
}

// Opens a file.
export async function open(browser, file, options) {
  const opened = await watched(browser, (request) => request.url() === `file://${file}`, options);
  await opened.page.goto(`file://${file}`);
  await opened.page.waitForFunction(() => window.poolkeeper?.state.width > 0);
  return opened;
}

// What axe finds wrong with the page as it is.
export async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.target).join(", ")}`);
}

export async function shot(page, name) {
  fs.mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

// Where an attempt or a rest is on the screen: the middle of it.
export async function middle(page, of, index) {
  return page.evaluate(([of, index]) => {
    const { state: s } = window.poolkeeper;
    const a = of === "attempt" ? s.data.attempts[index] : s.data.rows[index].rests[0];
    const row = of === "attempt" ? a.row : index;
    const t = of === "attempt" ? (a.from + a.to) / 2 : (a.from + Math.min(a.until, s.data.to)) / 2;
    const box = s.canvas.getBoundingClientRect();
    return [box.left + s.left + ((t - s.from) / (s.to - s.from)) * (s.width - s.left), box.top + 66 + row * s.pitch - s.top + s.pitch / 2];
  }, [of, index]);
}
