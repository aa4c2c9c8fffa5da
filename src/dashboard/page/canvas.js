// The timeline as people use it: mouse, touch and keys.

const siblings = (data, a) => data.attempts.filter((other) => other.task === a.task);

// `acts`: what happens when an attempt is chosen or left.
function timeline(data, acts) {
  const [scroller, room, canvas, map, tip] = ["scroller", "room", "canvas", "map", "tip"].map(find);
  const s = { data, canvas, map, ctx: canvas.getContext("2d"), from: 0, to: dataEnd({ data }), top: 0, pitch: 34, width: 0, height: 0, left: 148, ratio: 1, matches: new Uint8Array(data.attempts.length).fill(1), hover: -1, chosen: -1 };
  const whole = () => dataEnd(s);
  let due = 0;

  const draw = () => { due ||= requestAnimationFrame(() => { due = 0; s.top = scroller.scrollTop; paint(s); paintMap(s); }); };

  function retone() {
    s.tones = readTones();
    s.hatch = hatch(s.ctx, s.tones.rest);
    s.strip = undefined;
    draw();
  }

  function resize() {
    const width = scroller.clientWidth;
    if (!width) return;
    s.ratio = Math.min(3, window.devicePixelRatio || 1);
    s.left = width < 560 ? 82 : 148;
    s.pitch = data.rows.length > 40 ? 22 : data.rows.length > 8 ? 28 : 34;
    const content = HEAD + data.rows.length * s.pitch + 6;
    room.style.height = `${content}px`;
    const height = Math.min(content, scroller.clientHeight || content);
    [s.width, s.height] = [width, height];
    [canvas.width, canvas.height] = [width * s.ratio, height * s.ratio].map(Math.round);
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    [map.width, map.height] = [Math.round(map.clientWidth * s.ratio), Math.round(22 * s.ratio)];
    s.strip = undefined;
    s.hatch = s.tones && hatch(s.ctx, s.tones.rest);
    draw();
  }

  function look(from, to) {
    const length = Math.min(Math.max(to - from, 5), whole());
    s.from = Math.min(Math.max(from, 0), whole() - length);
    s.to = s.from + length;
    draw();
  }
  const zoom = (by, around = (s.from + s.to) / 2) => look(around - (around - s.from) * by, around + (s.to - around) * by);
  const pan = (share) => look(s.from + (s.to - s.from) * share, s.to + (s.to - s.from) * share);
  const fit = () => look(0, whole());

  // Brings an attempt into view.
  function reveal(a) {
    const length = s.to - s.from;
    if (a.to < s.from + length * 0.02 || a.from > s.to - length * 0.02) look((a.from + a.to - length) / 2, (a.from + a.to + length) / 2);
    const y = a.row * s.pitch;
    const seen = s.height - HEAD - s.pitch;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y > scroller.scrollTop + seen) scroller.scrollTop = y - seen;
    draw();
  }

  // What is at a place of the canvas.
  function at(x, y) {
    const t = timeOf(s, x);
    if (x < s.left && y >= HEAD) return { row: data.rows[Math.floor((y - HEAD + s.top) / s.pitch)], name: true };
    if (x < s.left) return {};
    if (y < HEAD) return { t, queue: y > AXIS };
    const row = data.rows[Math.floor((y - HEAD + s.top) / s.pitch)];
    if (!row) return { t };
    // A bar of one pixel can be hit too.
    const slack = ((s.to - s.from) / (s.width - s.left)) * 4;
    let best;
    let near = slack;
    for (let i = last(row.attempts, (a) => a.from, t + slack); i >= 0; i--) {
      const a = row.attempts[i];
      const far = Math.max(0, a.from - t, t - a.to);
      const rank = far - (s.matches[a.index] ? slack * 0.5 : 0) - (a.outcome === "Succeeded" ? 0 : slack * 0.1);
      if (far <= slack && (best === undefined || rank < near)) [best, near] = [a, rank];
      if (a.to < t - slack) break;
    }
    return { t, row, attempt: best, rest: best ? undefined : restAt(row, t) };
  }

  function words(spot) {
    if (spot.attempt) return [`${spot.attempt.title} · attempt ${spot.attempt.n}`, ...linesOf(data, spot.attempt)];
    if (spot.rest) {
      const cause = data.attempts[spot.rest.after];
      return [`${spot.row.title} rests`, `${clock(data.from + spot.rest.from)} to ${clock(data.from + spot.rest.until)} (${span(spot.rest.until - spot.rest.from)})`,
        ...(cause ? [`after ${cause.title} attempt ${cause.n}: ${OUTCOMES[cause.outcome][2]}`] : [])];
    }
    if (spot.name && spot.row) {
      const { row } = spot;
      return [row.title, ...(row.credential ? [`credential ${plain(row.credential)}`] : []),
        `${count(row.attempts.length, "attempt")}, worked ${span(row.worked)}, rested ${span(row.rested)}`];
    }
    if (spot.queue && isRecorded(data, spot.t)) {
      const stall = data.stalls.find((one) => one.from <= spot.t && spot.t < one.to);
      const n = waitingAt(data, spot.t);
      return [n === 1 ? "1 task waits" : `${n.toLocaleString("en")} tasks wait`, `${clock(data.from + spot.t)}; ${workersAt(data, spot.t)}`,
        ...(stall ? [WHYS[stall.why]] : [])];
    }
    return [];
  }

  function showTip(spot, x, y) {
    const [title, ...lines] = words(spot);
    tip.hidden = title === undefined;
    if (tip.hidden) return;
    tip.replaceChildren(make("strong", {}, title), ...lines.map((line) => make("div", {}, line)));
    const [wide, tall] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(0, Math.min(x + 14, s.width - wide))}px`;
    tip.style.top = `${y + 18 + tall > s.height + 40 && y - tall - 10 > 0 ? y - tall - 10 : y + 18}px`;
  }

  function hover(x, y) {
    const spot = at(x, y);
    s.hover = spot.attempt?.index ?? -1;
    s.cursor = spot.t;
    scroller.style.cursor = spot.attempt ? "pointer" : "";
    showTip(spot, x, y);
    draw();
  }

  function leave() {
    [s.hover, s.cursor, tip.hidden] = [-1, undefined, true];
    draw();
  }

  function choose(index, aloud = true) {
    s.chosen = index;
    if (data.attempts[index]) reveal(data.attempts[index]);
    draw();
    acts.chosen(data.attempts[index], aloud);
  }

  // Pointers that are down: where they are, and where they came down.
  const down = new Map();
  const place = (event) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  let moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    down.set(event.pointerId, place(event));
    canvas.setPointerCapture(event.pointerId);
    moved = down.size > 1;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const was = down.get(event.pointerId);
    if (!was) { if (event.pointerType !== "touch") hover(x, y); return; }
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    const scale = (s.to - s.from) / (s.width - s.left);
    if (other) {
      const [gap, now] = [Math.abs(was[0] - other[0]), Math.abs(x - other[0])];
      if (gap > 12 && now > 12) zoom(gap / now, timeOf(s, (x + other[0]) / 2));
    } else if (moved || Math.abs(x - was[0]) > 4) {
      if (!moved) { moved = true; leave(); scroller.classList.add("held"); }
      look(s.from - (x - was[0]) * scale, s.to - (x - was[0]) * scale);
    } else return;
    down.set(event.pointerId, [x, y]);
  });
  const up = (event) => {
    const was = down.get(event.pointerId);
    down.delete(event.pointerId);
    if (!down.size) scroller.classList.remove("held");
    if (!was || moved || event.type === "pointercancel") return;
    const spot = at(...place(event));
    if (event.pointerType === "touch") showTip(spot, ...place(event));
    choose(spot.attempt?.index ?? -1);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("dblclick", (event) => zoom(0.4, timeOf(s, Math.max(s.left, place(event)[0]))));
  scroller.addEventListener("scroll", () => { tip.hidden = true; draw(); }, { passive: true });
  scroller.addEventListener("wheel", (event) => {
    const [x] = place(event);
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.01), timeOf(s, Math.max(s.left, x)));
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / (s.width - s.left));
    else return;
    event.preventDefault();
  }, { passive: false });

  const drag = (event) => {
    if (!event.buttons) return;
    const middle = ((event.clientX - map.getBoundingClientRect().left) / map.clientWidth) * whole();
    look(middle - (s.to - s.from) / 2, middle + (s.to - s.from) / 2);
  };
  map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); drag(event); });
  map.addEventListener("pointermove", drag);

  // The next attempt that is shown: in the row, or in all of them in the order of their starts.
  function step(by, wanted) {
    const now = data.attempts[s.chosen];
    const list = wanted ? data.attempts : now ? data.rows[now.row].attempts : data.attempts;
    const from = now ? list.indexOf(now) : by > 0 ? -1 : list.length;
    for (let i = from + by; i >= 0 && i < list.length; i += by) {
      if (s.matches[list[i].index] && (!wanted || wanted(list[i]))) return choose(list[i].index);
    }
  }
  // The attempt of another row that is nearest in time.
  function across(by) {
    const now = data.attempts[s.chosen];
    if (!now) return step(1);
    for (let i = now.row + by; i >= 0 && i < data.rows.length; i += by) {
      const shown = data.rows[i].attempts.filter((a) => s.matches[a.index]);
      if (!shown.length) continue;
      const far = (a) => Math.max(0, a.from - now.to, now.from - a.to) || Math.abs(a.from - now.from) / (whole() + 1);
      return choose(shown.reduce((best, a) => (far(a) < far(best) ? a : best)).index);
    }
  }
  const isWrong = (a) => a.outcome !== "Succeeded";
  const KEYS = {
    ArrowRight: (event) => (event.shiftKey ? pan(0.2) : step(1)), ArrowLeft: (event) => (event.shiftKey ? pan(-0.2) : step(-1)),
    ArrowDown: () => across(1), ArrowUp: () => across(-1), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: fit,
    Home: () => { s.chosen = -1; step(1); }, End: () => { s.chosen = -1; step(-1); },
    n: () => step(1, isWrong), p: () => step(-1, isWrong), Enter: () => acts.open(), Escape: () => { leave(); choose(-1); },
  };
  scroller.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    tip.hidden = true;
    KEYS[event.key](event);
  });

  find("in").addEventListener("click", () => zoom(0.6));
  find("out").addEventListener("click", () => zoom(1 / 0.6));
  find("fit").addEventListener("click", fit);
  new ResizeObserver(resize).observe(scroller);
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", retone);
  resize();
  retone();
  return {
    choose, reveal, fit, look, state: s,
    filter(matches) { s.matches = matches; s.strip = undefined; draw(); },
    // The data are newer, or time has passed. `were`: begin and end of the data before. What is looked at stays, and goes on with the
    // time if it was the newest.
    follow(were, rows) {
      const [from, to] = [s.from, s.to].map((at) => at + were.from - data.from);
      const grown = data.from + data.to - were.from - were.to;
      const newest = s.to >= were.to - 1;
      s.strip = undefined;
      if (newest && s.from <= 0) look(0, whole());
      else if (newest) look(from + grown, to + grown);
      else look(from, to);
      if (rows) resize();
    },
  };
}

