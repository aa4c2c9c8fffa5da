// Puts the parts together.

function summary(data) {
  const { tasks } = data;
  const name = data.pool ? plain(data.pool) : "run";
  find("title").textContent = name;
  document.title = `${name} · Poolkeeper run`;
  const wrong = tasks.failed + tasks.rateLimited;
  const states = {
    complete: wrong ? ["failed", `Complete, ${count(wrong, "task")} did not succeed`] : ["complete", "Complete"],
    stopped: ["stopped", "Stopped before the end"], open: ["open", "No end is recorded"],
  };
  const [tone, words] = states[data.state] ?? states.open;
  [find("state").textContent, find("state").className] = [words, `state ${tone}`];
  const [from, to] = [data.from, data.from + data.to];
  const runtime = data.runtime ? ` · ${data.runtime} workers` : "";
  find("when").textContent = `${day(from)} ${clock(from)} to ${day(from) === day(to) ? "" : `${day(to)} `}${clock(to)}${runtime}`
    + (data.runs.length > 1 ? ` · ${data.runs.length} runs` : "") + (data.leftOut ? ` · ${count(data.leftOut, "older attempt")} left out` : "");
  const took = data.runs.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const left = tasks.total - tasks.succeeded - wrong - tasks.skipped;
  const sums = [[`of ${count(tasks.total, "task")} succeeded`, tasks.succeeded.toLocaleString("en")], ["failed", tasks.failed], ["rate limited", tasks.rateLimited],
    ["not run", left], ["done before", tasks.skipped], [data.attempts.length === 1 ? "attempt" : "attempts", (data.attempts.length + data.leftOut).toLocaleString("en")],
    ["took", span(took)], ["rest of all workers", span(data.rows.reduce((sum, row) => sum + row.rested, 0))], ["cost", data.spent?.costUsd ? `$${data.spent.costUsd}` : 0]];
  const always = new Set([0, 5, 6]);
  find("sums").replaceChildren(...sums.filter(([, value], at) => always.has(at) || (value && value !== "0s"))
    .map(([word, value]) => make("div", {}, make("dt", {}, word), make("dd", {}, String(value)))));
  // What held the run up.
  const held = new Map();
  for (const stall of data.stalls) held.set(stall.why, (held.get(stall.why) ?? 0) + stall.to - stall.from);
  const long = [...held].filter(([, time]) => time >= Math.max(1000, took * 0.02)).sort((a, b) => b[1] - a[1]);
  find("insight").hidden = !long.length;
  find("insight").textContent = `Nothing ran although tasks waited: ${long.map(([why, time]) => `for ${span(time)} ${WHYS[why]}`).join("; ")}.`;
}

function notes(data) {
  find("notes-part").hidden = !data.notes.length;
  find("notes-list").replaceChildren(...data.notes.map(([at, words]) =>
    make("li", {}, make("time", { datetime: new Date(data.from + at).toISOString() }, clock(data.from + at)), make("span", {}, plain(words)))));
}

function start(view) {
  const data = read(view);
  summary(data);
  notes(data);
  workersTable(data);
  const hidden = new Set();
  let board;
  const choose = (index) => board.choose(index);
  const panel = details(data, choose);
  const table = attemptsTable(data, (index) => { choose(index); panel.focus(); });
  board = timeline(data, {
    chosen(a, told) {
      panel.show(a);
      table.mark(a);
      if (told) find("said").textContent = a ? `${a.title} attempt ${a.n}: ${story(data, a).join(", ")}` : "";
    },
    open: () => panel.focus(),
  });

  function filter() {
    const words = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = Uint8Array.from(data.attempts, (a) => Number(!hidden.has(a.outcome) && words.every((word) => a.words.includes(word))));
    board.filter(matches);
    table.filter(matches);
  }
  find("find").addEventListener("input", filter);
  find("find").addEventListener("keydown", (event) => { if (event.key === "Escape") { find("find").value = ""; filter(); } });
  const toggles = Object.keys(OUTCOMES).filter((outcome) => data.counts.has(outcome)).map((outcome) => make("button", { type: "button", "aria-pressed": "true", on: {
    click(event) {
      const shown = hidden.delete(outcome) || !hidden.add(outcome);
      event.currentTarget.setAttribute("aria-pressed", String(shown));
      filter();
    },
  } }, mark(outcome), `${OUTCOMES[outcome][2]} ${data.counts.get(outcome).toLocaleString("en")}`));
  const key = (mark, words) => make("span", { class: "key" }, make("span", { class: `mark ${mark}`, "aria-hidden": "true" }), words);
  find("legend").replaceChildren(...toggles, ...(data.rows.some((row) => row.rests.length) ? [key("hatch", "Rest")] : []), key("area", "Waiting tasks"));

  const help = [["← →", "attempts of the worker"], ["↑ ↓", "the other workers"], ["n p", "next, previous that did not succeed"], ["Home End", "first, last attempt"],
    ["+ −", "zoom; also Ctrl and the wheel, or two fingers"], ["Shift ← →", "move; also drag"], ["0", "all of it"], ["Enter", "details"], ["Esc", "leave"], ["/", "filter"]];
  find("help-keys").replaceChildren(...help.map(([keys, words]) => make("div", {}, make("dt", {}, ...keys.split(" ").flatMap((one) => [make("kbd", {}, one), " "])), make("dd", {}, words))));
  find("keys").addEventListener("click", () => {
    const shown = find("help").hidden;
    find("help").hidden = !shown;
    find("keys").setAttribute("aria-expanded", String(shown));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input")) return;
    event.preventDefault();
    find("find").focus();
  });
  filter();
  return board;
}

const board = start(JSON.parse(find("data").textContent));
// For the tests of the page, and for a console.
window.poolkeeper = { state: board.state, look: board.look, choose: board.choose };
