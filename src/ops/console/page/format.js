// Numbers, durations and elements: every figure on the page is written here, so that all of them read alike.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; text is always text. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Three digits that mean something, without an exponent. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toFixed(size >= 1e7 ? 1 : 2) + " M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + " k";
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : size >= 0.095 ? 2 : 3);
}

export const count = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-GB").replaceAll(",", "\u202f"));

/** A duration given in seconds: from microseconds to days. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 s";
  if (value < 0.0001) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.01) return `${(value * 1e3).toFixed(2)} ms`;
  if (value < 0.1) return `${(value * 1e3).toFixed(1)} ms`;
  if (value < 1) return `${(value * 1e3).toFixed(0)} ms`;
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 120) return `${value.toFixed(0)} s`;
  return age(value);
}

/** A span of time that an operator thinks in. */
export function age(value) {
  const total = Math.max(0, Math.floor(value));
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${total % 60} s`;
  return `${total} s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${at === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
}

/** A share as percent, with the digits that an objective of 99.9 % needs. */
export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`;
}

/** Hours, minutes and seconds of the reader's own clock. */
export function clock(ms, withMillis = false) {
  const date = new Date(ms);
  const pad = (value, digits = 2) => String(value).padStart(digits, "0");
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return withMillis ? `${time}.${pad(date.getMilliseconds(), 3)}` : time;
}

const SIGNS = { ok: "●", warn: "▲", bad: "✖", idle: "○" };

/** A state that is told by its sign and its word, and only then by its colour. */
export function state(kind, text) {
  return h("span", { class: `state ${kind}` }, h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]), " ", text);
}

export const last = (values) => values.length ? values[values.length - 1] : null;

export function empty(text) {
  return h("p", { class: "empty" }, text);
}

/** Name and value, side by side, the values aligned. */
export function facts(rows) {
  return h("dl", { class: "facts" }, rows.map(([name, value, note]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, note ? h("small", {}, " ", note) : null))));
}
