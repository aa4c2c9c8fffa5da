// The tables: what the timeline shows, for those who read or cannot see it.

const ROWS = 50;

function head(columns, sorted, sort) {
  return make("thead", {}, make("tr", {}, ...columns.map(([name, , numeric], at) => {
    const direction = sorted && sorted.column === at ? (sorted.down ? "descending" : "ascending") : undefined;
    const label = sort ? make("button", { type: "button", on: { click: () => sort(at) } }, name + (direction ? (sorted.down ? " ↓" : " ↑") : "")) : name;
    return make("th", { scope: "col", class: numeric ? "num" : undefined, "aria-sort": direction }, label);
  })));
}

function attemptsTable(data, choose) {
  const table = find("table");
  const [before, after] = [find("before"), find("after")];
  const row = (a) => data.rows[a.row];
  // Title, the value to sort by, whether it is a number, the cell.
  const columns = [
    ["Task", (a) => a.task, false, (a) => make("button", { type: "button", title: a.title, on: { click: () => choose(a.index) } }, a.title)],
    ["Outcome", (a) => OUTCOMES[a.outcome][2], false, (a) => make("span", {}, mark(a.outcome), OUTCOMES[a.outcome][2])],
    ["Attempt", (a) => a.n, true, (a) => String(a.n)],
    ["Worker", (a) => a.row, false, (a) => row(a).title],
    ["Started", (a) => a.from, true, (a) => clock(data.from + a.from)],
    ["Took", (a) => a.took, true, (a) => (a.running ? "" : span(a.took))],
    ["Waited", (a) => a.waited, true, (a) => (a.waited < 0 ? "" : span(a.waited))],
    ["Rest until", (a) => a.until ?? -1, true, (a) => (a.until === undefined ? "" : clock(data.from + a.until))],
    ["Message", (a) => a.message ?? "", false, (a) => (a.message ? cut(a.message, 300) : "")],
  ];
  // A report is read from its begin, and what goes on from its end.
  const sorted = { column: 4, down: data.present !== undefined };
  let list = data.attempts;
  let page = 0;
  let chosen = -1;

  function show() {
    const pages = Math.max(1, Math.ceil(list.length / ROWS));
    page = Math.min(page, pages - 1);
    const rows = list.slice(page * ROWS, (page + 1) * ROWS).map((a) => make("tr", { class: a.index === chosen ? "chosen" : undefined, "data-key": keyOf(data, a) },
      ...columns.map(([, , numeric, cell], at) => make("td", { class: numeric ? "num" : at === 8 ? "words" : undefined }, cell(a)))));
    const caption = make("caption", { class: "unseen" }, "Attempts, sorted by the column that is marked");
    table.replaceChildren(caption, head(columns, sorted, sort), make("tbody", {}, ...rows));
    find("count").textContent = list.length === data.attempts.length ? count(list.length, "attempt") : `${list.length.toLocaleString("en")} of ${count(data.attempts.length, "attempt")}`;
    find("page").textContent = `${page + 1} of ${pages}`;
    [before.disabled, after.disabled] = [page === 0, page === pages - 1];
    before.parentElement.hidden = pages === 1;
  }

  function arrange() {
    const value = columns[sorted.column][1];
    const sign = sorted.down ? -1 : 1;
    list = [...list].sort((a, b) => { const [x, y] = [value(a), value(b)]; return (x < y ? -1 : x > y ? 1 : 0) * sign || a.index - b.index; });
    show();
  }

  function sort(column) {
    sorted.down = sorted.column === column && !sorted.down;
    sorted.column = column;
    arrange();
    table.querySelectorAll("th button")[column].focus();
  }

  before.addEventListener("click", () => { page--; show(); });
  after.addEventListener("click", () => { page++; show(); });
  return {
    // `stays`: the data are newer, and the filter is the same.
    filter(matches, stays) {
      const held = table.contains(document.activeElement) && document.activeElement.closest("[data-key]")?.dataset.key;
      const column = table.contains(document.activeElement) ? [...table.querySelectorAll("th button")].indexOf(document.activeElement) : -1;
      list = data.attempts.filter((a) => matches[a.index]);
      if (!stays) page = 0;
      arrange();
      // The rows are new: what had the keys has them again.
      if (column >= 0) table.querySelectorAll("th button")[column].focus();
      else if (held) [...table.tBodies[0].rows].find((row) => row.dataset.key === held)?.querySelector("button").focus();
    },
    follow(index) { chosen = index; },
    mark(a) {
      chosen = a ? a.index : -1;
      const at = list.indexOf(a);
      const held = table.contains(document.activeElement);
      if (at >= 0 && !held) page = Math.floor(at / ROWS);
      if (held) [...table.tBodies[0].rows].forEach((row, i) => row.classList.toggle("chosen", list[page * ROWS + i] === a));
      else show();
    },
  };
}

// What a worker does now, in words. Only a live page knows.
function doing(data, row) {
  const now = data.present.workers[data.rows.indexOf(row)] ?? {};
  const words = { starting: "Starting", free: "Free", works: `Works on ${plain(now.dispatch ?? "")}`, rests: "Rests", leaving: "Leaving", failed: "Failed", gone: "Gone" };
  const rest = now.until === undefined ? 0 : now.until - data.now;
  if (now.doing === "rests") return rest > 0 ? `Rests, ${span(Math.ceil(rest / 1000) * 1000)} left` : "Free";
  return `${words[now.doing] ?? ""}${now.message ? `: ${cut(plain(now.message), 200)}` : ""}`;
}

// Answers what brings it up to date. Cells that say the same stay as they are.
function workersTable(data) {
  const up = (row) => row.up.reduce((sum, [from, to]) => sum + to - from, 0);
  const share = (part, row) => (up(row) ? ` (${Math.round((part / up(row)) * 100)}%)` : "");
  const columns = [
    ["Worker", (row) => row.title], ...(data.present ? [["Now", (row) => doing(data, row)]] : []),
    ["Credential", (row) => (row.credential ? plain(row.credential) : "–")],
    ["Attempts", (row) => row.attempts.length.toLocaleString("en"), true],
    ["Rate limits", (row) => row.limits.toLocaleString("en"), true],
    ["Worked", (row) => span(row.worked) + share(row.worked, row), true], ["Rested", (row) => span(row.rested) + share(row.rested, row), true],
    ["Up", (row) => span(up(row)), true],
  ];
  const body = make("tbody", {});
  find("workers-table").replaceChildren(make("caption", { class: "unseen" }, "Workers"), head(columns), body);
  const shown = [];
  function refresh() {
    data.rows.forEach((row, at) => {
      const texts = columns.map(([, cell]) => cell(row));
      shown[at] ??= columns.map(() => "");
      const line = body.rows[at] ?? body.appendChild(make("tr", {}, ...columns.map(([name, , numeric]) => make("td", { class: numeric ? "num" : name === "Now" ? "now" : undefined }))));
      texts.forEach((text, cell) => { if (shown[at][cell] !== text) { line.cells[cell].textContent = text; shown[at][cell] = text; } });
    });
    while (body.rows.length > data.rows.length) { body.lastChild.remove(); shown.pop(); }
  }
  refresh();
  return refresh;
}
