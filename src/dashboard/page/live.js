// The data come from `poolkeeper dashboard`, whenever there are new ones. The token for them is in this scope only.

const WINDOW = 900000; // what is looked at of a long past
const AGAIN = 5000; // so often the Events of an attempt are asked for while it is looked at
let [token, tag, pool, shown, board, ahead, failed, latest, asking, looked] = ["", "", "", "", undefined, 0, undefined, undefined, undefined, undefined];

const serverTime = () => Date.now() + ahead;
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

function banner(words) {
  const place = find("banner");
  place.hidden = !words;
  if (place.textContent !== words) place.textContent = words;
}

function standing(tone, words) {
  [find("state").textContent, find("state").className] = [words, `state ${tone}`];
}

// What the pool does now, above the timeline.
function tellLive(data) {
  const { present, tasks } = data;
  find("title").textContent = plain(data.pool);
  document.title = `${plain(data.pool)} · Poolkeeper`;
  const doing = (what) => present.workers.filter((one) => one.doing === what).length;
  const ended = [["succeeded", tasks.succeeded], ["failed", tasks.failed], ["rate limited", tasks.rateLimited]];
  const sums = [["waiting", present.waiting], ["running", present.running], ["workers free", doing("free")], ["workers at rest", doing("rests")],
    ...[["starting", doing("starting")], ["workers failed", doing("failed")], ...ended].filter(([, n]) => n)];
  find("sums").replaceChildren(...sums.map(([word, n]) => make("div", {}, make("dt", {}, word), make("dd", {}, n.toLocaleString("en")))));
  const why = [...(present.paused ? ["The pool is paused: nothing is assigned, created or removed."] : []),
    ...present.waits.slice(0, 3).map((wait) => `${count(wait.count, "dispatch").replace(/dispatchs/, "dispatches")} wait${wait.count === 1 ? "s" : ""}: ${plain(wait.reason)}${wait.message ? `, ${cut(plain(wait.message), 300)}` : ""}`),
    ...present.problems.map(([kind, reason, message]) => `${plain(kind)}, ${plain(reason)}: ${cut(plain(message), 300)}`)];
  find("insight").hidden = !why.length;
  const words = why.join("\n");
  if (find("insight").textContent !== words) find("insight").textContent = words;
}

// The Events of the attempt whose details are open, at their end, and the command that shows what its worker printed.
function lookAt(data, a, place) {
  looked = { dispatch: data.ids[a.task], worker: data.rows[a.row].name, process: data.runtime === "Process", place, at: 0, text: "" };
  recorded().catch(() => {});
}

async function recorded() {
  const mine = looked;
  if (!mine?.place.isConnected || !token || Date.now() < mine.at + AGAIN) return;
  mine.at = Date.now();
  const query = new URLSearchParams({ dispatch: mine.dispatch, worker: mine.worker });
  const answer = await fetch(`/events?${query}`, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store", credentials: "omit" });
  const text = await answer.text();
  if (!answer.ok || looked !== mine || mine.text === text) return;
  mine.text = text;
  const { dispatch, worker, logs } = JSON.parse(text);
  const of = (name, found) => found.events.map((event) => ({ ...event, name, at: Date.parse(event.at) || 0 }));
  const events = [...of(mine.dispatch, dispatch), ...of(mine.worker, worker)].sort((x, y) => y.at - x.at);
  const words = (event) => `${plain(event.name)}: ${event.warning ? "Warning, " : ""}${plain(event.reason)}${event.count > 1 ? ` ×${event.count}` : ""}: ${cut(plain(event.message), 300)}`;
  const unknown = dispatch.unknown ?? worker.unknown;
  mine.place.replaceChildren(
    make("h3", {}, "Events"),
    ...(unknown ? [make("p", { class: "muted" }, `Not shown: ${plain(unknown)}`)] : events.length ? [] : [make("p", { class: "muted" }, "None in the last hour.")]),
    make("ul", { class: "notes" }, ...events.map((event) => make("li", {}, make("time", { datetime: new Date(event.at).toISOString() }, clock(event.at)), make("span", {}, words(event))))),
    ...(mine.process ? [] : [make("h3", {}, "What its worker printed"), make("p", {}, make("code", {}, plain(logs)))]),
  );
}

function choosePool(pools) {
  const select = find("pool");
  find("pools").hidden = pools.length < 2;
  if (select.options.length === pools.length && pools.every((name, at) => select.options[at].value === name)) return;
  select.replaceChildren(...pools.map((name) => make("option", { value: name }, plain(name))));
}

function show(answer) {
  latest = answer;
  ahead = answer.now - Date.now();
  choosePool(answer.pools);
  find("main").hidden = !answer.view;
  for (const part of ["sums", "insight"]) find(part).hidden ||= !answer.view;
  find("sums").hidden = !answer.view;
  const place = `namespace ${plain(answer.namespace)} of ${plain(answer.server)}`;
  find("when").textContent = `${place} · watched since ${clock(answer.started)}; of the time before only what the objects still say is known`;
  if (!answer.view) {
    find("insight").hidden = true;
    find("title").textContent = "Dashboard";
    if (!answer.refused && !answer.lost) standing("live", answer.pools.length ? `There is no pool ${plain(answer.pool ?? "")}` : "There are no pools yet");
    // One that is gone is not asked for again. The tag is of its view: with it the answer would come with the next change only.
    if (!answer.lost && answer.pools.length) [pool, tag] = ["", ""];
    return;
  }
  const view = { ...answer.view, present: answer.present, now: answer.now - answer.view.from };
  const changed = shown !== answer.pool;
  pool = shown = answer.pool;
  find("pool").value = pool;
  if (!board) {
    board = start(view, tellLive, lookAt);
    window.poolkeeper = board;
  } else board.update(view);
  if (changed) {
    board.choose(-1);
    board.look(Math.max(0, view.to - WINDOW), view.to);
  }
}

// Says how it stands with the server and with the dashboard.
function tellStanding() {
  const since = (ms) => `since ${clock(ms)} (${span(Math.max(0, Math.floor((serverTime() - ms) / 1000) * 1000))})`;
  if (failed) {
    standing("lost", "Not connected");
    banner(`The dashboard does not answer ${since(failed)}. The page goes on when it does. If it has ended, start \`poolkeeper dashboard\` again.`);
  } else if (latest?.refused) {
    standing("lost", "Not allowed");
    banner(latest.refused.map(plain).join("\n"));
  } else if (latest?.lost) {
    standing("lost", "The server is away");
    banner(`${plain(latest.server)} is away ${since(latest.lost.since)}: ${plain(latest.lost.why)}. What is shown is older than that.`);
  } else {
    if (latest?.view) standing("live", latest.present.paused ? "Paused" : "Live");
    banner("");
  }
}

// The end: only another address helps.
function over(words) {
  token = "";
  standing("lost", "Not connected");
  banner(`${words} Press Enter where \`poolkeeper dashboard\` runs, or start it again.`);
}

async function ask() {
  asking = new AbortController();
  const headers = { Authorization: `Bearer ${token}`, ...(tag ? { "If-None-Match": tag } : {}) };
  const query = pool ? `?${new URLSearchParams({ pool })}` : "";
  const answer = await fetch(`/view${query}`, { headers, cache: "no-store", credentials: "omit", signal: asking.signal });
  if (answer.status === 304) return undefined;
  if (answer.status === 401) { over("This page may not ask any more."); return undefined; }
  if (!answer.ok) throw new Error(await answer.text());
  tag = answer.headers.get("ETag") ?? "";
  return answer.json();
}

async function follow() {
  const mine = token;
  while (token === mine && mine) {
    let cost = 0;
    try {
      const answer = await ask();
      failed = undefined;
      if (answer && token === mine) {
        const begun = performance.now();
        show(answer);
        cost = performance.now() - begun;
      }
      if (token) tellStanding();
    } catch (error) {
      if (error.name !== "AbortError") {
        failed ??= serverTime();
        tellStanding();
        cost = 40;
      }
    }
    // A page that is not seen does little, and one with much to show does it less often.
    while (document.hidden && token === mine) await pause(1000);
    await pause(Math.max(400, cost * 25));
  }
}

async function enter() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  // The address is kept by the browser; the code need not be.
  history.replaceState(null, "", location.pathname);
  if (!code) { over("The key to this page was in its memory, and is gone."); return; }
  const answer = await fetch("/session", { method: "POST", body: code, cache: "no-store", credentials: "omit" });
  const words = await answer.text();
  if (!answer.ok) { over(`This address does not serve: ${words}.`); return; }
  [token, tag] = [words, ""];
  await follow();
}

find("main").hidden = true;
find("title").textContent = "Dashboard";
document.title = "Poolkeeper dashboard";
standing("open", "Connecting");
find("pool").addEventListener("change", (event) => {
  [pool, tag] = [event.target.value, ""];
  asking?.abort();
});
window.addEventListener("hashchange", () => { if (location.hash) enter(); });
setInterval(() => {
  if (document.hidden || !token) return;
  if (board && latest?.view) board.tick(serverTime() - latest.view.from, !latest.lost && !failed);
  if (failed || latest?.lost) tellStanding();
  recorded().catch(() => {});
}, 1000);
enter().catch(() => over("The dashboard does not answer."));
