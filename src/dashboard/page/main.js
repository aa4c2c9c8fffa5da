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

// Shows a view. `tell` says above the timeline what it amounts to, and `more` adds to the details of an attempt.
function start(view, tell, more) {
  const data = read(view);
  const hidden = new Set();
  let board;
  const choose = (index) => board.choose(index);
  const panel = details(data, choose, more);
  const table = attemptsTable(data, (index) => { choose(index); panel.focus(); });
  const workers = workersTable(data);
  board = timeline(data, {
    chosen(a, aloud) {
      panel.show(a);
      table.mark(a);
      if (aloud) find("said").textContent = a ? `${a.title} attempt ${a.n}: ${linesOf(data, a).join(", ")}` : "";
    },
    open: () => panel.focus(),
  });

  function filter(stays) {
    const words = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = Uint8Array.from(data.attempts, (a) => Number(!hidden.has(a.outcome) && words.every((word) => a.words.includes(word))));
    board.filter(matches);
    table.filter(matches, stays === true);
  }
  find("find").addEventListener("input", filter);
  find("find").addEventListener("keydown", (event) => { if (event.key === "Escape") { find("find").value = ""; filter(); } });
  // The buttons with the outcomes stay where they are, so that whoever is at one of them stays there.
  const toggles = new Map();
  const key = (mark, words) => make("span", { class: "key" }, make("span", { class: `mark ${mark}`, "aria-hidden": "true" }), words);
  const [rests, waits] = [key("hatch", "Rest"), key("area", "Waiting tasks")];
  function legend() {
    for (const outcome of Object.keys(OUTCOMES)) {
      const count = data.counts.get(outcome);
      if (count && !toggles.has(outcome)) {
        toggles.set(outcome, make("button", { type: "button", "aria-pressed": "true", on: {
          click(event) {
            const shown = hidden.delete(outcome) || !hidden.add(outcome);
            event.currentTarget.setAttribute("aria-pressed", String(shown));
            filter();
          },
        } }, mark(outcome), make("span", {})));
      }
      const words = `${OUTCOMES[outcome][2]} ${(count ?? 0).toLocaleString("en")}`;
      if (toggles.has(outcome) && toggles.get(outcome).lastChild.textContent !== words) toggles.get(outcome).lastChild.textContent = words;
    }
    const shown = [...Object.keys(OUTCOMES).flatMap((outcome) => toggles.get(outcome) ?? []), ...(data.rows.some((row) => row.rests.length) ? [rests] : []), waits];
    if (shown.some((one, at) => find("legend").children[at] !== one)) find("legend").replaceChildren(...shown);
  }

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
  function show(stays) {
    tell(data);
    notes(data);
    legend();
    filter(stays);
  }
  show(false);
  return {
    state: board.state, look: board.look, choose: board.choose,
    // A newer view. What is chosen stays chosen.
    update(view) {
      const [were, rows] = [{ from: data.from, to: data.to, pool: data.pool }, data.rows.length];
      const [chosen, hover] = [board.state.chosen, board.state.hover].map((index) => keyOf(data, data.attempts[index]));
      const was = data.attempts[board.state.chosen]?.outcome;
      Object.assign(data, read(view));
      const at = new Map(chosen || hover ? data.attempts.map((a) => [keyOf(data, a), a.index]) : []);
      [board.state.chosen, board.state.hover] = [at.get(chosen) ?? -1, at.get(hover) ?? -1];
      board.state.matches = new Uint8Array(data.attempts.length).fill(1);
      table.follow(board.state.chosen);
      board.follow(were, rows !== data.rows.length);
      workers();
      show(true);
      const now = data.attempts[board.state.chosen];
      if (now?.outcome !== was) panel.show(now);
    },
    // Time has passed, to this one after the begin of the data. `moves`: what runs goes on.
    tick(now, moves) {
      const were = { from: data.from, to: data.to };
      const passed = moves ? now - data.to : 0;
      data.now = now;
      if (passed > 0) {
        for (const a of data.attempts) if (a.running) { a.to = now; a.took = now - a.from; data.rows[a.row].worked += passed; }
        for (const row of data.rows) {
          const up = row.up[row.up.length - 1];
          if (up && up[1] === data.to) up[1] = now;
          if (restAt(row, now)) row.rested += passed;
        }
        const run = data.runs[data.runs.length - 1];
        if (run) run[1] = now;
        data.to = now;
      }
      workers();
      board.follow(were, false);
    },
  };
}
