// Draws the rows. It changes nothing but the canvas.

const HEAD = 66; // the axis and the row of waiting tasks
const AXIS = 22;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5,
  432e5, 864e5, 1728e5, 6048e5];

// The colours of the style sheet, and the pattern of rests in them.
function readTones() {
  const style = getComputedStyle(document.documentElement);
  const tones = {};
  for (const name of ["panel", "ink", "muted", "line", "faint", "up", "wait", "rest", "focus", "on", "ground", "succeeded", "failed", "limited",
    "timed", "lost", "ended", "refused", "open"]) tones[name] = style.getPropertyValue(`--${name}`).trim();
  tones.running = tones.open;
  tones.font = getComputedStyle(document.body).fontFamily;
  return tones;
}

function hatch(ctx, tone) {
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [7, 7];
  const t = tile.getContext("2d");
  [t.strokeStyle, t.lineWidth] = [tone, 1.3];
  t.beginPath();
  for (const shift of [-7, 0, 7]) { t.moveTo(shift - 1, 8); t.lineTo(shift + 8, -1); }
  t.stroke();
  return ctx.createPattern(tile, "repeat");
}

// Where a time is, and what time is there.
const xOf = (s, t) => s.left + ((t - s.from) / (s.to - s.from)) * (s.width - s.left);
const timeOf = (s, x) => s.from + ((x - s.left) / (s.width - s.left)) * (s.to - s.from);
const yOf = (s, row) => HEAD + row * s.pitch - s.top;

function box(ctx, x, y, width, height) {
  if (width < 5) { ctx.fillRect(x, y, width, height); return; }
  ctx.beginPath();
  ctx.roundRect(x, y, width, height, 2.5);
  ctx.fill();
}

// The end of a name, which tells workers of a pool apart.
function ending(ctx, text, room) {
  if (ctx.measureText(text).width <= room) return text;
  let from = 1;
  while (from < text.length - 1 && ctx.measureText(`…${text.slice(from)}`).width > room) from++;
  return `…${text.slice(from)}`;
}

function paint(s) {
  const { ctx, data, tones } = s;
  ctx.setTransform(s.ratio, 0, 0, s.ratio, 0, 0);
  ctx.globalAlpha = 1;
  ctx.fillStyle = tones.panel;
  ctx.fillRect(0, 0, s.width, s.height);
  const first = Math.max(0, Math.floor(s.top / s.pitch));
  const end = Math.min(data.rows.length, Math.ceil((s.top + s.height - HEAD) / s.pitch));
  ctx.save();
  ctx.beginPath();
  ctx.rect(s.left, HEAD, s.width - s.left, s.height - HEAD);
  ctx.clip();
  paintTicks(s, HEAD, s.height, false);
  for (let at = first; at < end; at++) paintRow(s, data.rows[at], yOf(s, at));
  paintGaps(s);
  paintChosen(s);
  ctx.restore();
  paintNames(s, first, end);
  paintHead(s);
  if (s.cursor !== undefined) {
    ctx.fillStyle = tones.muted;
    ctx.globalAlpha = 0.5;
    ctx.fillRect(Math.round(xOf(s, s.cursor)), AXIS, 1, s.height - AXIS);
    ctx.globalAlpha = 1;
  }
}

function paintRow(s, row, y) {
  const { ctx, tones } = s;
  const [height, top] = [s.pitch - 8, y + 4];
  ctx.fillStyle = tones.up;
  for (const [from, to] of row.up) {
    const [x1, x2] = [xOf(s, from), xOf(s, to)];
    if (x2 >= s.left && x1 <= s.width) ctx.fillRect(x1, top + height / 2 - 0.75, Math.max(1, x2 - x1), 1.5);
  }
  for (let at = Math.max(0, last(row.rests, (rest) => rest.from, s.from)); at < row.rests.length; at++) {
    const rest = row.rests[at];
    if (rest.from > s.to) break;
    const [x1, x2] = [Math.max(xOf(s, rest.from), s.left - 9), Math.min(xOf(s, Math.min(rest.until, dataEnd(s))), s.width + 9)];
    if (x2 < s.left) continue;
    ctx.fillStyle = tones.panel;
    ctx.fillRect(x1, top + 2, Math.max(1, x2 - x1), height - 4);
    ctx.fillStyle = s.hatch;
    ctx.fillRect(x1, top + 2, Math.max(1, x2 - x1), height - 4);
  }
  // Those that succeeded first: what went wrong is never hidden below them.
  let begin = Math.max(0, last(row.attempts, (a) => a.from, s.from));
  while (begin > 0 && row.attempts[begin - 1].to > s.from) begin--;
  for (const wrong of [false, true]) {
    const drawn = [-1, -1];
    for (let at = begin; at < row.attempts.length; at++) {
      const a = row.attempts[at];
      if (a.from > s.to) break;
      if ((a.outcome !== "Succeeded") !== wrong) continue;
      const x1 = Math.max(xOf(s, a.from), s.left - 6);
      const x2 = Math.min(xOf(s, a.to), s.width + 6);
      if (x2 < s.left - 1) continue;
      const shown = s.matches[a.index];
      // Several in one pixel are one.
      if (x2 - x1 < 1.5) {
        if (Math.floor(x2) <= drawn[shown]) continue;
        drawn[shown] = Math.floor(x2);
      }
      paintAttempt(s, a, x1, x2, top, height, shown);
    }
  }
}

const dataEnd = (s) => Math.max(s.data.to, 1);

function paintAttempt(s, a, x1, x2, top, height, shown) {
  const { ctx, tones } = s;
  const [tone, sign] = OUTCOMES[a.outcome];
  let width = Math.max(a.outcome === "Succeeded" ? 1 : 2, x2 - x1);
  if (width > 3.5) width -= 1;
  ctx.globalAlpha = shown ? 1 : 0.13;
  ctx.fillStyle = tones[tone];
  if (HOLLOW.has(a.outcome) && width >= 5) {
    ctx.fillStyle = tones.panel;
    ctx.fillRect(x1, top, width, height);
    ctx.strokeStyle = tones[tone];
    ctx.lineWidth = 1.5;
    ctx.setLineDash([3, 2]);
    ctx.strokeRect(x1 + 0.75, top + 0.75, width - 1.5, height - 1.5);
    ctx.setLineDash([]);
  } else box(ctx, x1, top, width, height);
  ctx.fillStyle = HOLLOW.has(a.outcome) ? tones[tone] : tones.on;
  ctx.textBaseline = "middle";
  const seen = Math.max(x1, s.left);
  const room = Math.min(x1 + width, s.width) - seen;
  if (sign && room >= 11) {
    ctx.font = `700 12px ${tones.font}`;
    ctx.fillText(sign, seen + 3, top + height / 2 + 0.5);
  } else if (sign && shown) {
    // Too narrow for a sign: a corner above the bar, for whoever does not tell the colours apart.
    ctx.fillStyle = tones[tone];
    const middle = x1 + width / 2;
    ctx.beginPath();
    ctx.moveTo(middle - 3.5, top - 4);
    ctx.lineTo(middle + 3.5, top - 4);
    ctx.lineTo(middle, top + 1);
    ctx.fill();
    return;
  }
  const before = sign ? 16 : 5;
  if (room > before + 10 && shown) {
    ctx.font = `11px ${tones.font}`;
    const title = label(ctx, a.title, room - before - 4);
    if (title) ctx.fillText(title, seen + before, top + height / 2 + 0.5);
  }
}

// As much of a task's id as there is room for: all of it, its number, its begin, nothing.
function label(ctx, text, room) {
  const fits = (one) => ctx.measureText(one).width <= room;
  const short = text.length > 80 ? text.slice(0, 80) : text;
  if (fits(short)) return short;
  const number = /\d+$/.exec(text)?.[0];
  if (number && fits(number)) return number;
  const most = Math.floor(room / 6.4);
  return most > 5 && !number ? cut(short, most) : "";
}

// Between two runs nothing was recorded.
function paintGaps(s) {
  const { ctx, data, tones } = s;
  ctx.fillStyle = tones.ground;
  // Before the watch began only what the objects still tell is known.
  const begin = data.runs.length ? xOf(s, data.runs[0][0]) : s.left;
  ctx.globalAlpha = 0.45;
  if (begin > s.left) ctx.fillRect(s.left, HEAD, begin - s.left, s.height - HEAD);
  ctx.globalAlpha = 0.75;
  data.runs.slice(1).forEach(([from], at) => {
    const [x1, x2] = [xOf(s, data.runs[at][1]), xOf(s, from)];
    if (x2 > s.left && x1 < s.width) ctx.fillRect(x1, HEAD, x2 - x1, s.height - HEAD);
  });
  ctx.globalAlpha = 1;
}

// The chosen attempt, and the way of its task from attempt to attempt.
function paintChosen(s) {
  const { ctx, data, tones } = s;
  const rect = (a) => {
    const x1 = xOf(s, a.from);
    return [x1, yOf(s, a.row) + 4, Math.max(2, xOf(s, a.to) - x1 - 1), s.pitch - 8];
  };
  const chosen = data.attempts[s.chosen];
  if (chosen) {
    const way = siblings(data, chosen);
    [ctx.strokeStyle, ctx.lineWidth] = [tones.focus, 1.5];
    way.slice(1).forEach((next, at) => {
      const [x1, y1, w1, h1] = rect(way[at]);
      const [x2, y2, , h2] = rect(next);
      const bend = Math.min(40, Math.max(8, (x2 - x1 - w1) / 2));
      ctx.beginPath();
      ctx.moveTo(x1 + w1, y1 + h1 / 2);
      ctx.bezierCurveTo(x1 + w1 + bend, y1 + h1 / 2, x2 - bend, y2 + h2 / 2, x2, y2 + h2 / 2);
      ctx.stroke();
    });
  }
  for (const [at, line] of [[s.hover, 1.5], [s.chosen, 2.5]]) {
    const a = data.attempts[at];
    if (!a) continue;
    const [x, y, width, height] = rect(a);
    [ctx.strokeStyle, ctx.lineWidth] = [line > 2 ? tones.focus : tones.ink, line];
    ctx.strokeRect(x - 1.5, y - 1.5, width + 3, height + 3);
  }
}

function paintTicks(s, y1, y2, words) {
  const { ctx, data, tones } = s;
  const least = (s.to - s.from) * (86 / Math.max(1, s.width - s.left));
  const step = STEPS.find((one) => one >= least) ?? STEPS[STEPS.length - 1];
  // Marks stand at round times of the day of whoever looks.
  const shift = data.from - new Date(data.from).getTimezoneOffset() * 60000;
  ctx.fillStyle = words ? tones.muted : tones.faint;
  ctx.font = `11px ${tones.font}`;
  ctx.textBaseline = "middle";
  for (let t = Math.ceil((s.from + shift) / step) * step - shift; t <= s.to; t += step) {
    const x = Math.round(xOf(s, t));
    if (!words) ctx.fillRect(x, y1, 1, y2 - y1);
    else if (x > s.left - 1 && x < s.width - 30) ctx.fillText(clock(data.from + t, step), x + 3, y1 + 10);
  }
}

function paintHead(s) {
  const { ctx, data, tones } = s;
  ctx.fillStyle = tones.panel;
  ctx.fillRect(0, 0, s.width, HEAD);
  ctx.save();
  ctx.beginPath();
  ctx.rect(s.left, 0, s.width - s.left, HEAD);
  ctx.clip();
  paintTicks(s, AXIS, HEAD, false);
  paintTicks(s, 0, AXIS, true);
  const [base, height] = [HEAD - 7, HEAD - AXIS - 13];
  const level = (n) => base - (data.most ? (n / data.most) * height : 0);
  ctx.fillStyle = tones.wait;
  ctx.beginPath();
  let at = Math.max(0, last(data.waiting, (w) => w[0], s.from));
  let y = base;
  ctx.moveTo(s.left, base);
  for (; at < data.waiting.length && data.waiting[at][0] <= s.to; at++) {
    const x = Math.max(s.left, xOf(s, data.waiting[at][0]));
    ctx.lineTo(x, y);
    y = level(data.waiting[at][1]);
    ctx.lineTo(x, y);
  }
  const right = Math.min(s.width, xOf(s, data.to));
  ctx.lineTo(right, y);
  ctx.lineTo(right, base);
  ctx.fill();
  // Nothing ran, though tasks waited.
  for (const stall of data.stalls) {
    const [x1, x2] = [xOf(s, stall.from), xOf(s, stall.to)];
    if (x2 < s.left || x1 > s.width || stall.to - stall.from < 50) continue;
    ctx.fillStyle = stall.why === "noWorker" ? tones.failed : tones.rest;
    ctx.fillRect(x1, base + 1, Math.max(1, x2 - x1), 3);
  }
  ctx.restore();
  ctx.fillStyle = tones.line;
  ctx.fillRect(0, HEAD - 1, s.width, 1);
  ctx.fillStyle = tones.muted;
  ctx.font = `12px ${tones.font}`;
  ctx.textBaseline = "middle";
  ctx.fillText("Waiting", 4, base - height / 2 + 1);
  if (s.left > 120) {
    ctx.textAlign = "right";
    ctx.font = `11px ${tones.font}`;
    ctx.fillText(`max ${data.most.toLocaleString("en")}`, s.left - 10, base - height / 2 + 1);
    ctx.textAlign = "left";
  }
}

function paintNames(s, first, end) {
  const { ctx, data, tones } = s;
  ctx.fillStyle = tones.panel;
  ctx.fillRect(0, HEAD, s.left, s.height - HEAD);
  ctx.textBaseline = "middle";
  const share = s.left > 120 ? 40 : 0;
  for (let at = first; at < end; at++) {
    const row = data.rows[at];
    const y = yOf(s, at) + s.pitch / 2;
    ctx.font = `12px ${tones.font}`;
    ctx.fillStyle = tones.ink;
    ctx.fillText(ending(ctx, row.title, s.left - 14 - share), 4, y);
    const up = row.up.reduce((sum, [from, to]) => sum + to - from, 0);
    const rest = data.present ? restAt(row, data.now) : undefined;
    if (share && up) {
      ctx.textAlign = "right";
      ctx.font = `11px ${tones.font}`;
      ctx.fillStyle = rest ? tones.limited : tones.muted;
      ctx.fillText(rest ? span(Math.ceil((rest.until - data.now) / 1000) * 1000) : `${Math.round((row.worked / up) * 100)}%`, s.left - 10, y);
      ctx.textAlign = "left";
    }
  }
  ctx.fillStyle = tones.line;
  ctx.fillRect(s.left - 1, AXIS, 1, s.height - AXIS);
}

// The whole run in one strip, and which part of it is seen.
function paintMap(s) {
  const { map, data, tones } = s;
  const ctx = map.getContext("2d");
  const [width, height] = [map.width, map.height];
  if (s.strip === undefined) {
    s.strip = document.createElement("canvas");
    [s.strip.width, s.strip.height] = [width, height];
    const t = s.strip.getContext("2d");
    t.fillStyle = tones.ground;
    t.fillRect(0, 0, width, height);
    const row = height / Math.max(1, data.rows.length);
    for (const wrong of [false, true]) {
      for (const a of data.attempts) {
        if ((a.outcome !== "Succeeded") !== wrong || !s.matches[a.index]) continue;
        t.fillStyle = tones[OUTCOMES[a.outcome][0]];
        const [x1, x2] = [a.from, a.to].map((at) => (at / dataEnd(s)) * width);
        t.fillRect(x1, a.row * row, Math.max(s.ratio, x2 - x1), Math.max(1, row - (row > 3 ? 1 : 0)));
      }
    }
  }
  ctx.drawImage(s.strip, 0, 0);
  const [x1, x2] = [s.from, s.to].map((at) => (at / dataEnd(s)) * width);
  ctx.fillStyle = tones.panel;
  ctx.globalAlpha = 0.72;
  ctx.fillRect(0, 0, Math.max(0, x1), height);
  ctx.fillRect(x2, 0, Math.max(0, width - x2), height);
  ctx.globalAlpha = 1;
  [ctx.strokeStyle, ctx.lineWidth] = [tones.muted, s.ratio];
  ctx.strokeRect(x1 + 0.5, 0.5, Math.max(3, x2 - x1 - 1), height - 1);
}

