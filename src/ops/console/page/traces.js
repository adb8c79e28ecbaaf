// Requests and deliveries: the list, the waterfall of one, and its log lines.

import { bytes, clock, count, empty, h, number, seconds, state } from "./format.js";

const at = (id) => document.getElementById(id);
const FILTERS = [["all", "All"], ["failed", "Failed"], ["slow", "Slow"], ["slowest", "Slowest"], ["sampled", "Sampled"]];
const NOTHING = {
  all: "Nothing is kept yet. One request a second of each route is, and all that fails or is slow.",
  failed: "No request or delivery has failed of late. The next one will be here, with its log lines.",
  slow: "Nothing was slower than its objective: 250 ms for reads, 500 ms for writes, 1 s for a delivery.",
  slowest: "No request yet.",
  sampled: "No request yet. One a second of each route is kept here.",
};
const SHOWN = 30;

let page = { items: [], kept: 0, kept_bytes: 0, max_bytes: 0 };
let filter = "all";
let chosen = null;
let loaded = null;

const isBad = (item) => item.why === "failed";
const title = (item) => (item.kind === "delivery"
  ? [h("b", {}, "deliver"), " ", item.channel, item.count > 1 ? ` × ${item.count}` : ""]
  : [h("b", {}, item.method), " ", item.route]);
const result = (item) => (item.kind === "delivery"
  ? state(isBad(item) ? "bad" : "ok", item.outcome)
  : state(item.status >= 500 ? "bad" : item.status >= 400 ? "warn" : "ok", String(item.status)));

/** Opens what the address names, and says which request is shown in it, so that it can be passed on. */
export function start() {
  at("filters").replaceChildren(...FILTERS.map(([name, words]) => h("button", {
    type: "button", "data-filter": name, "aria-pressed": name === filter, onclick: () => { filter = name; draw(); } }, words)));
  addEventListener("hashchange", fromAddress);
  fromAddress();
}

function fromAddress() {
  const found = location.hash.match(/^#trace=([0-9a-f]{1,32})$/);
  if (found) open(found[1], false);
}

export function list(next) {
  page = next;
  draw();
}

function draw() {
  at("requests-note").textContent = page.kept ? `${count(page.kept)} in memory, ${bytes(page.kept_bytes)} of at most ${bytes(page.max_bytes)}` : "";
  for (const button of at("filters").children) button.setAttribute("aria-pressed", String(button.dataset.filter === filter));
  const items = page.items.filter((item) => filter === "all" || item.why === filter);
  const longest = Math.max(...items.map((item) => item.duration_us), 1);
  const focused = document.activeElement?.dataset?.id;
  at("list").replaceChildren(items.length
    ? h("ul", {}, items.slice(0, SHOWN).map((item) => row(item, longest)))
    : empty(NOTHING[filter]));
  if (focused) at("list").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  failures();
  if (!chosen && !loaded) {
    const first = page.items.find(isBad) ?? page.items.find((item) => item.why === "slow") ?? page.items.find((item) => item.steps > 2) ?? page.items[0];
    if (first) open(String(first.id), false);
    else at("detail").replaceChildren(empty("Choose a request to see where its time went, and what it logged."));
  }
}

function row(item, longest) {
  const bar = h("span", { class: "bar" }, h("span", { class: isBad(item) ? "bad" : item.why === "slow" ? "warn" : "" }));
  bar.firstChild.style.width = `${Math.max(1, (item.duration_us / longest) * 100)}%`;
  return h("li", {}, h("button", { type: "button", class: "item", "data-id": item.id, "aria-current": chosen === String(item.id) || chosen === item.trace_id ? "true" : null, onclick: () => open(String(item.id), true) },
    h("time", {}, clock(item.began_ms)), h("span", { class: "what" }, title(item)), result(item),
    h("span", { class: "n" }, seconds(item.duration_us / 1e6)), bar));
}

function failures() {
  const failed = page.items.filter(isBad);
  at("failures-note").textContent = failed.length ? "the newest first" : "";
  at("failures").replaceChildren(failed.length
    ? h("ul", { class: "failures" }, failed.slice(0, 8).map((item) => h("li", {}, h("button", { type: "button", class: "item", onclick: () => open(String(item.id), true) },
      h("time", {}, clock(item.began_ms)), h("span", { class: "what" }, title(item), h("small", {}, " ", item.error ?? "")), result(item)))))
    : empty("None. A failed request or delivery appears here with its log lines, and stays until others take its place."));
}

async function open(id, moves) {
  chosen = id;
  draw();
  let found;
  try {
    const answer = await fetch(`/console/traces/${encodeURIComponent(id)}`, { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.status === 404) {
      at("detail").replaceChildren(empty("It is not kept any more: newer ones have taken its place."));
      loaded = id;
      return;
    }
    found = await answer.json();
  } catch {
    at("detail").replaceChildren(empty("The service did not answer; try again."));
    return;
  }
  if (chosen !== id) return;
  loaded = id;
  const { record, related } = found;
  history.replaceState(null, "", `#trace=${record.trace_id ?? record.id}`);
  at("detail").replaceChildren(whole(record), ...(related.length ? [h("h3", { class: "related" }, record.kind === "delivery" ? "What caused it" : "Of the same trace, and what it caused")] : []),
    ...related.map((one) => whole(one, record)));
  if (moves && matchMedia("(max-width: 900px)").matches) at("detail").scrollIntoView({ block: "start" });
}

function whole(record, cause) {
  const later = cause ? record.began_ms - cause.began_ms : null;
  return h("article", { class: "trace" },
    h("header", {}, h("h3", {}, title(record)), result(record), h("span", { class: "n" }, seconds(record.duration_us / 1e6))),
    h("p", { class: "ids" },
      h("span", {}, h("time", {}, clock(record.began_ms, true)), later === null ? "" : ` (${later >= 0 ? "+" : "−"}${number(Math.abs(later))} ms)`),
      record.error ? h("span", {}, "error ", h("code", {}, record.error)) : null,
      record.trace_id ? h("span", {}, "trace ", copyable(record.trace_id)) : null,
      record.request_id ? h("span", {}, "request ", copyable(record.request_id)) : null,
      h("span", {}, record.exported ? "exported by OTLP" : "not exported by OTLP"),
      record.causes?.length ? h("span", {}, "caused by ", record.causes.map((id) => [h("a", { href: `#trace=${id}` }, h("code", {}, id.slice(0, 8) + "…")), " "])) : null),
    waterfall(record), lines(record));
}

function copyable(text) {
  const button = h("button", { type: "button", class: "copy", title: "Copy", "aria-label": `Copy ${text}`, onclick: async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; } catch { getSelection().selectAllChildren(code); }
  } }, "copy");
  const code = h("code", {}, text);
  return [code, " ", button];
}

const KINDS = { database: "database", cache: "cache miss", wait: "wait", hash: "hash", storage: "storage" };

function waterfall(record) {
  if (!record.steps.length) return h("p", { class: "note" }, "No database operation, cache miss or wait was part of it.");
  const total = Math.max(record.duration_us, 1);
  const bar = (start, duration, kind) => {
    const inner = h("span", { class: kind });
    inner.style.marginInlineStart = `${Math.min(99.5, (start / total) * 100)}%`;
    inner.style.width = `${Math.max(0.5, Math.min(100, (duration / total) * 100))}%`;
    return h("span", { class: "track" }, inner);
  };
  const steps = [...record.steps].sort((a, b) => a.start_us - b.start_us || b.duration_us - a.duration_us);
  return h("div", {}, h("table", { class: "waterfall" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "step"), h("th", { scope: "col", class: "n" }, "from"), h("th", { scope: "col", class: "n" }, "took"), h("th", { scope: "col", class: "time" }, `0 to ${seconds(total / 1e6)}`))),
    h("tbody", {},
      h("tr", { class: "root" }, h("th", { scope: "row" }, record.kind === "delivery" ? "the attempt" : "the request"), h("td", { class: "n" }, "0"), h("td", { class: "n" }, seconds(total / 1e6)), h("td", { class: "time" }, bar(0, total, "root"))),
      steps.map((step) => h("tr", {},
        h("th", { scope: "row" }, h("code", {}, step.name), " ", h("small", {}, KINDS[step.kind], step.rows === null ? "" : `, ${count(step.rows)} ${step.rows === 1 ? "row" : "rows"}`), step.error ? [" ", state("bad", step.error)] : null),
        h("td", { class: "n" }, seconds(step.start_us / 1e6)), h("td", { class: "n" }, seconds(step.duration_us / 1e6)),
        h("td", { class: "time" }, bar(step.start_us, step.duration_us, step.error ? "bad" : step.kind)))))),
  record.steps_dropped ? h("p", { class: "note" }, `and ${count(record.steps_dropped)} more steps`) : null);
}

/** Written by the log's own formatter; should it ever not be JSON, the text itself is shown. */
function parsed(text) {
  try { return JSON.parse(text); } catch { return { message: text }; }
}

function lines(record) {
  const dropped = record.lines_dropped ? h("p", { class: "note" }, `and ${count(record.lines_dropped)} more lines, in the log`) : null;
  if (!record.lines.length) return h("div", {}, h("p", { class: "note" }, "It logged nothing under the present filter."), dropped);
  return h("div", {}, h("h4", {}, "Log lines"), h("ol", { class: "log" }, record.lines.map((line) => {
    const { message, ...fields } = parsed(line.json);
    return h("li", {}, h("span", { class: "n" }, `+${seconds(line.at_us / 1e6)}`), h("span", { class: `level ${line.level.toLowerCase()}` }, line.level),
      h("span", { class: "said" }, h("b", {}, message), " ", h("small", {}, line.target), h("span", { class: "fields" },
        Object.entries(fields).filter(([, value]) => value !== null).map(([name, value]) => h("span", {}, h("i", {}, name), "=", String(value))))));
  })), dropped);
}

