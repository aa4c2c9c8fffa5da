// What the page shows: the data, and which of them are looked at.

// How an attempt ends: the class that colours it, the sign that tells it apart without colour, words.
const OUTCOMES = {
  Succeeded: ["succeeded", "", "Succeeded"],
  Failed: ["failed", "×", "Failed"],
  RateLimited: ["limited", "‖", "Rate limited"],
  Overloaded: ["limited", "≈", "Overloaded"],
  Unauthorized: ["refused", "!", "Unauthorized"],
  TimedOut: ["timed", "◷", "Timed out"],
  WorkerLost: ["lost", "?", "Worker lost"],
  HolderLost: ["lost", "¿", "Holder lost"],
  Lost: ["lost", "…", "Lost"],
  Cancelled: ["ended", "–", "Cancelled"],
  Forced: ["ended", "†", "Forced"],
  NotStarted: ["ended", "○", "Not started"],
  Open: ["running", "▸", "No end recorded"],
  Running: ["running", "▸", "Running"],
};
const HOLLOW = new Set(["WorkerLost", "HolderLost", "Lost", "Cancelled", "Forced", "NotStarted", "Open"]);
const WHYS = { rest: "every worker rested", noWorker: "no worker was up", retry: "tasks waited for the time of their retry" };

// Reads the view. Attempts get what the page looks up again and again.
function read(view) {
  const data = { ...view, rows: view.rows.map((row) => ({ ...row, title: plain(row.name), attempts: [], limits: 0 })) };
  data.titles = view.ids.map(plain);
  data.attempts = view.attempts.map((a, index) => {
    const outcome = OUTCOMES[a.outcome] ? a.outcome : a.running ? "Running" : "Open";
    const attempt = { ...a, index, outcome, title: data.titles[a.task], took: a.to - a.from, message: a.message && plain(a.message) };
    attempt.words = `${attempt.title} ${data.rows[a.row].title} ${OUTCOMES[outcome][2]} ${attempt.message ?? ""}`.toLowerCase();
    data.rows[a.row].attempts.push(attempt);
    if (outcome === "RateLimited") data.rows[a.row].limits++;
    return attempt;
  });
  data.outputs = new Map(view.outputs.map((output) => [output.attempt, output]));
  data.counts = new Map();
  for (const a of data.attempts) data.counts.set(a.outcome, (data.counts.get(a.outcome) ?? 0) + 1);
  data.most = view.waiting.reduce((most, [, n]) => Math.max(most, n), 0);
  return data;
}

// What tells an attempt from all others, also in newer data.
const keyOf = (data, a) => a && `${a.n} ${data.ids[a.task]} ${a.from + data.from}`;

// The last position of a sorted list whose value is not above the limit; -1 if there is none.
function last(list, value, limit) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(list[middle]) <= limit) low = middle + 1; else high = middle;
  }
  return low - 1;
}

const waitingAt = (data, t) => { const at = last(data.waiting, (w) => w[0], t); return at < 0 ? 0 : data.waiting[at][1]; };
const attemptAt = (row, t) => { const a = row.attempts[last(row.attempts, (x) => x.from, t)]; return a && a.to >= t ? a : undefined; };
const restAt = (row, t) => { const r = row.rests[last(row.rests, (x) => x.from, t)]; return r && r.until > t ? r : undefined; };
const isUp = (row, t) => row.up.some(([from, to]) => from <= t && t < to);
const isRecorded = (data, t) => data.runs.some(([from, to]) => from <= t && t <= to);

// What the workers did at a time, in words.
function workersAt(data, t) {
  const counts = { busy: 0, rests: 0, idle: 0 };
  for (const row of data.rows) {
    if (attemptAt(row, t)) counts.busy++;
    else if (!isUp(row, t)) continue;
    else if (restAt(row, t)) counts.rests++;
    else counts.idle++;
  }
  const parts = [[counts.busy, "working"], [counts.rests, "at rest"], [counts.idle, "free"]];
  const words = parts.filter(([n]) => n).map(([n, word]) => `${n} ${word}`);
  return words.length ? `workers: ${words.join(", ")}` : "no worker was up";
}

// The lines that say what one attempt is.
function linesOf(data, a) {
  const lines = a.running ? [`Running on ${data.rows[a.row].title} for ${span(a.to - a.from)}`, `since ${clock(data.from + a.from)}`]
    : [`${OUTCOMES[a.outcome][2]} on ${data.rows[a.row].title} after ${span(a.took)}`, `${clock(data.from + a.from)} to ${clock(data.from + a.to)}`];
  if (a.waited >= 100) lines.push(`waited ${span(a.waited)} before`);
  if (a.until !== undefined) lines.push(`rest until ${clock(data.from + a.until)} (${span(a.until - a.to)})`);
  if (a.message) lines.push(cut(a.message, 160));
  return lines;
}

