// Times and elements. Everything that is shown goes through here, as text.

const pad = (n, width = 2) => String(n).padStart(width, "0");

// A length of time as the command line says it: 0.2s, 2s, 1m30s, 2h5m.
function span(ms) {
  const tenths = Math.round(ms / 100);
  const s = Math.floor(tenths / 10);
  if (ms > 0 && ms < 100) return `${Math.max(1, Math.round(ms))}ms`;
  if (s < 10 && tenths % 10) return `${s}.${tenths % 10}s`;
  if (s < 60) return `${s}s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)}m${s % 60}s` : `${s / 60}m`;
  const m = Math.floor(s / 60);
  return m % 60 ? `${Math.floor(m / 60)}h${m % 60}m` : `${m / 60}h`;
}

// The time of day, with as many digits as the step between two marks needs.
function clock(ms, step = 1000) {
  const at = new Date(ms);
  const text = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
  if (step >= 60000) return text;
  const seconds = `${text}:${pad(at.getSeconds())}`;
  return step >= 1000 ? seconds : `${seconds}.${pad(at.getMilliseconds(), 3)}`;
}

const day = (ms) => { const at = new Date(ms); return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`; };

const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// Control characters and what changes the direction of text, so that no id looks like another one.
const plain = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
  (c) => (c.charCodeAt(0) < 256 ? `\\x${pad(c.charCodeAt(0).toString(16))}` : `\\u{${c.charCodeAt(0).toString(16)}}`));

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const bytes = (n) => (n < 1024 ? `${n} bytes` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`);

const find = (id) => document.getElementById(id);

// An element with attributes and children. Text is text, whatever is in it.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

