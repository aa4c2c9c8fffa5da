// What is known of one attempt, beside the timeline.

// `more`: what else is known of an attempt, and is found later; it gets a place.
function details(data, choose, more) {
  const panel = find("details");
  const split = panel.parentElement;
  let back;

  function stream(name, tail) {
    if (!tail.bytes) return [];
    const shown = tail.bytes > 4096 ? `the end of ${bytes(tail.bytes)}` : bytes(tail.bytes);
    return [make("h3", { id: `of-${name}` }, name, make("span", { class: "muted" }, shown)),
      make("pre", { tabindex: "0", role: "region", "aria-labelledby": `of-${name}` }, tail.text)];
  }

  function output(a) {
    const found = data.outputs.get(a.index);
    if (!found) return [make("p", { class: "muted" }, data.noOutputs ?? (data.outputs.size ? "Its output is not in this page." : ""))];
    const parts = [...stream("stdout", found.stdout), ...stream("stderr", found.stderr)];
    return parts.length ? parts : [make("p", { class: "muted" }, "It printed nothing.")];
  }

  function rows(a) {
    const row = data.rows[a.row];
    const words = OUTCOMES[a.outcome][2];
    const rows = [["Outcome", make("span", {}, mark(a.outcome), words)], ["Worker", row.title]];
    if (row.credential) rows.push(["Credential", plain(row.credential)]);
    rows.push(["Started", `${clock(data.from + a.from, 1)} (+${span(a.from)})`]);
    if (!a.running) rows.push(["Took", span(a.took)]);
    if (a.waited >= 0) rows.push(["Waited", span(a.waited)]);
    if (a.until !== undefined) rows.push(["Rest", `until ${clock(data.from + a.until)} (${span(a.until - a.to)})`]);
    if (a.exit !== undefined) rows.push(["Exit code", String(a.exit)]);
    if (a.spent?.costUsd) rows.push(["Cost", `$${a.spent.costUsd}`]);
    if (a.spent) rows.push(["Tokens", `${a.spent.inputTokens.toLocaleString("en")} in, ${a.spent.outputTokens.toLocaleString("en")} out`]);
    if (a.message) rows.push(["Message", a.message]);
    return rows;
  }

  function close() {
    panel.hidden = true;
    split.classList.remove("open");
    choose(-1);
    back?.focus();
  }
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

  return {
    show(a) {
      panel.hidden = a === undefined;
      split.classList.toggle("open", a !== undefined);
      if (!a) return;
      const way = siblings(data, a);
      const place = make("div", {});
      panel.replaceChildren(
        make("header", {}, make("h2", { id: "details-title" }, `${a.title} · attempt ${a.n}`),
          make("button", { type: "button", "aria-label": "Close details", on: { click: close } }, "×")),
        make("dl", {}, ...rows(a).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
        ...(way.length > 1 ? [make("h3", {}, "Attempts of this task"), make("div", { class: "siblings" }, ...way.map((one) =>
          make("button", { type: "button", "aria-current": one === a ? "true" : undefined, on: { click: () => choose(one.index) } },
            `${one.n} ${OUTCOMES[one.outcome][2]}`)))] : []),
        ...output(a),
        place,
      );
      more?.(data, a, place);
      panel.scrollTop = 0;
    },
    focus() { if (!panel.hidden) { back = document.activeElement; panel.focus({ preventScroll: false }); } },
  };
}

function mark(outcome) {
  const [tone, sign] = OUTCOMES[outcome];
  return make("span", { class: `mark ${tone}${HOLLOW.has(outcome) ? " hollow" : ""}`, "aria-hidden": "true" }, sign);
}

