// The site in a browser: its links, its search, its navigation; that it asks nothing of any other place; its accessibility.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";

import { faults, launch, shot } from "../dashboard/rig.mjs";

const site = path.resolve(process.env.POOLKEEPER_SITE ?? "target/site");
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml", png: "image/png", woff2: "font/woff2" };
// What axe finds in mdBook's own theme, with the reason why it stays.
const KNOWN = {
  "aria-allowed-attr": "the button of the sidebar is a label with a role",
  "aria-prohibited-attr": "the same label",
  region: "the bar with the buttons is no landmark",
};
// The page for printing joins all others, and the page of what is not found has links from the root.
const WHOLE = ["print.html", "404.html", "toc.html"];
let server, base, browser;

before(async () => {
  // As GitHub Pages serves it: below a directory.
  server = http.createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const file = path.join(site, name.replace(/^\/poolkeeper\//, "/").replace(/\/$/, "/index.html"));
    if (!name.startsWith("/poolkeeper/") || !fs.existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[path.extname(file).slice(1)] ?? "application/octet-stream" }).end(fs.readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}/poolkeeper/`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

// Opens a page of the site. `wrongs` lists errors, and requests to anywhere else.
async function open(name, { width = 1400, dark = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light" });
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const wrongs = [];
  await context.route((url) => !url.href.startsWith(base), (route) => { wrongs.push(`request: ${route.request().url()}`); return route.abort(); });
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrongs.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => wrongs.push(`error: ${error.stack}`));
  page.on("response", (response) => { if (response.status() >= 400) wrongs.push(`${response.status()}: ${response.url()}`); });
  await page.goto(base + name);
  return { page, wrongs, close: () => context.close() };
}

const all = () => fs.readdirSync(site, { recursive: true }).filter((name) => name.endsWith(".html"));

test("every link leads to a page and to a heading", () => {
  const pages = new Map(all().map((name) => {
    const html = fs.readFileSync(path.join(site, name), "utf8");
    return [name, { html, ids: new Set([...html.matchAll(/\sid="([^"]*)"/g)].map((m) => m[1])) }];
  }));
  const wrong = [];
  let count = 0;
  for (const [name, { html }] of pages) {
    if (WHOLE.includes(name)) continue;
    for (const [, link] of html.matchAll(/\s(?:href|src)="([^"]+)"/g)) {
      if (/^(https?:|data:|mailto:|javascript:)/.test(link)) continue;
      count += 1;
      const [file, anchor] = link.replaceAll("&amp;", "&").split("#");
      const target = file === "" ? name : path.join(path.dirname(name), decodeURIComponent(file));
      if (!fs.existsSync(path.join(site, target))) wrong.push(`${name}: ${link}: no such file`);
      else if (anchor && !pages.get(target)?.ids.has(decodeURIComponent(anchor))) wrong.push(`${name}: ${link}: no such heading`);
    }
  }
  assert.ok(count > 1000, `only ${count} links`);
  assert.deepEqual(wrong, []);
});

test("no page asks anything of another place, and none has an error", async () => {
  for (const name of all()) {
    const html = fs.readFileSync(path.join(site, name), "utf8");
    assert.deepEqual([...html.matchAll(/<(?!a\s)[a-z]+\s[^>]*(?:href|src|srcset)="(?:https?:)?\/\/[^"]*/g)].map(String), [], name);
  }
  const { page, wrongs, close } = await open("index.html");
  // Of the decisions, the first ones: all are alike.
  for (const name of all().filter((name) => !WHOLE.includes(name) && !/README|decisions.00[1-9]/.test(name))) {
    await page.goto(base + name);
    assert.ok(await page.locator("main h1").count(), `${name} has no title`);
  }
  assert.deepEqual(wrongs, []);
  await close();
});

test("the search finds a field, a condition and a command", async () => {
  for (const [words, file, title] of [["maxCooldown", "api.html", /rateLimit/], ["CredentialsRefused", "conditions.html", /CredentialsRefused/],
    ["local rotate", "cli.html", /poolkeeper local rotate/], ["helm rollback", "upgrades.html", /./]]) {
    const { page, wrongs, close } = await open("index.html");
    await page.keyboard.press("/");
    await page.locator("#mdbook-searchbar").pressSequentially(words);
    const hit = page.locator(`#mdbook-searchresults a[href*="${file}"]`).filter({ hasText: title }).first();
    await hit.waitFor();
    await hit.click();
    await page.waitForURL((url) => url.pathname.endsWith(file));
    assert.match(await page.locator("main").innerText(), new RegExp(words.split(" ")[0], "i"));
    assert.deepEqual(wrongs, []);
    await close();
  }
});

test("one can go through the pages, by the list and by keys", async () => {
  const { page, wrongs, close } = await open("index.html");
  await page.locator("#mdbook-sidebar a", { hasText: "Ten minutes on a laptop" }).click();
  await page.waitForURL(/quickstart\.html$/);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/kubectl\.html$/);
  await shot(page, "site-kubectl");
  await page.goto(base + "api.html");
  await shot(page, "site-api");
  await page.locator("main a", { hasText: /^object$/ }).first().click();
  await page.waitForURL(/api\.html#containerpoolspec/);
  assert.deepEqual(wrongs, []);
  await close();
});

test("nothing is wider than the window of a phone", async () => {
  const { page, wrongs, close } = await open("index.html", { width: 390 });
  for (const name of ["index.html", "cli.html", "api.html", "operations.html", "quickstart.html", "decisions/index.html"]) {
    await page.goto(base + name);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${name} is ${wide} wide`);
  }
  await page.goto(base);
  await shot(page, "site-phone");
  assert.deepEqual(wrongs, []);
  await close();
});

for (const dark of [false, true]) {
  test(`axe finds nothing, ${dark ? "dark" : "light"}`, async () => {
    const { page, close } = await open("index.html", { dark });
    const found = new Set();
    for (const name of ["index.html", "quickstart.html", "api.html", "cli.html", "conditions.html", "decisions/index.html"]) {
      await page.goto(base + name);
      for (const fault of await faults(page)) if (!KNOWN[fault.split(":")[0]]) found.add(`${name}: ${fault.slice(0, 400)}`);
    }
    assert.deepEqual([...found], []);
    await close();
  });
}
