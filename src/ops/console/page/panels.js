// Everything on the page that is drawn from the snapshot.

import { Chart } from "./charts.js";
import { age, bytes, count, empty, facts, h, last, number, percent, seconds, state } from "./format.js";

const at = (id) => document.getElementById(id);

/** The mean of the newest points that are known: one sample of 5 s alone would jump. */
function lately(values, points = 6) {
  const known = values.slice(-points).filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

const ratio = (part, whole) => (whole > 0 ? part / whole : null);

function card(title, label) {
  const chart = new Chart(label);
  const value = h("span", { class: "value" });
  const unit = h("span", { class: "unit" });
  const verdict = h("span", { class: "card-state" });
  const element = h("article", { class: "card" },
    h("header", {}, h("h3", {}, title), verdict),
    h("p", { class: "figure" }, value, " ", unit),
    chart.element, h("div", { class: "under" }, chart.legend, chart.reading));
  return {
    element, chart,
    tell(figure, words, sign) {
      value.textContent = figure;
      unit.textContent = words;
      verdict.replaceChildren(sign ?? "");
    },
  };
}

let cards = null;

function make() {
  cards = {
    traffic: card("Traffic", "Requests per second by class of status"),
    errors: card("Errors", "Refused and failed requests per second"),
    latency: card("Latency", "Time to answer"),
    saturation: card("Saturation", "Use of what is limited"),
  };
  at("signals").replaceChildren(...Object.values(cards).map((one) => one.element));
}

export function signals(page) {
  if (!cards) make();
  const { series, now } = page;
  const covered = (page.at_ms - page.started_ms) / 1e3;
  // A process that has just started would be a sliver at the edge of a quarter of an hour.
  const window = [120, 300, 600].find((shorter) => covered <= shorter) ?? page.window_seconds;
  const time = { t: series.t_ms, end: page.at_ms, window: window * 1e3, started: page.started_ms };
  const sum = (names) => series.t_ms.map((_, index) => names.reduce((total, name) => total + series[name][index], 0));
  const all = sum(["rate_2xx", "rate_3xx", "rate_4xx", "rate_5xx"]);
  const rate = (value) => `${number(value)}/s`;

  const recent = lately(all);
  cards.traffic.tell(number(recent), "requests/s, last 30 s", recent > 0 ? null : state("idle", "no traffic"));
  cards.traffic.chart.show({ ...time, format: rate, stacked: true, lines: [
    { name: "2xx", kind: "c2", values: series.rate_2xx }, { name: "3xx", kind: "c3", values: series.rate_3xx },
    { name: "4xx", kind: "c4", values: series.rate_4xx }, { name: "5xx", kind: "c5", values: series.rate_5xx }] });

  const failing = ratio(lately(series.rate_5xx), recent);
  const failed = failing === null ? state("idle", "no traffic") : failing > 0.0144 ? state("bad", "above the page's rate") : failing > 0 ? state("warn", "some fail") : state("ok", "none fail");
  cards.errors.tell(percent(failing, 2), "are 5xx, last 30 s", failed);
  cards.errors.chart.show({ ...time, format: rate, lines: [
    { name: "4xx refused", kind: "c4", values: series.rate_4xx }, { name: "5xx failed", kind: "c5", values: series.rate_5xx }] });

  const p99 = last(series.p99.filter((value) => value !== null).slice(-6));
  cards.latency.tell(seconds(p99), "p99, latest with traffic", p99 === null ? state("idle", "no traffic") : p99 > 0.5 ? state("bad", "over 500 ms") : p99 > 0.25 ? state("warn", "over 250 ms") : state("ok", "within 250 ms"));
  cards.latency.chart.show({ ...time, format: seconds, decades: [0.001, 10], marks: [{ at: 0.25, text: "250 ms" }], lines: [
    { name: "p50", kind: "p50", values: series.p50 }, { name: "p95", kind: "p95", values: series.p95 }, { name: "p99", kind: "p99", values: series.p99 }] });

  const share = (values, most) => values.map((value) => (value === null ? null : ratio(value, most)));
  const uses = [
    { name: "requests in flight", kind: "p99", values: share(series.in_flight, now.max_in_flight) },
    { name: "connections", kind: "p95", values: share(series.pool_used, now.pool.max) },
    { name: "runtime busy", kind: "p50", values: share(series.busy, now.workers) }];
  const most = uses.map((use) => ({ name: use.name, value: lately(use.values, 3) })).filter((use) => use.value !== null)
    .sort((a, b) => b.value - a.value)[0];
  cards.saturation.tell(percent(most?.value ?? null, 0), most ? `${most.name}, the fullest` : "",
    !most ? null : most.value > 0.9 ? state("bad", "full") : most.value > 0.7 ? state("warn", "filling") : state("ok", "room"));
  cards.saturation.chart.show({ ...time, format: (value) => percent(value, 0), least: 1, most: 1, lines: uses });
  at("signals-note").textContent = covered < page.window_seconds
    ? `since the process started ${age(covered)} ago; a point every ${page.every_seconds} s`
    : `the last 15 minutes, a point every ${page.every_seconds} s`;
}

const STATES = { page: ["bad", "burns fast enough to page"], spent: ["warn", "spent its budget since start"], ok: ["ok", "within budget"], idle: ["idle", "no traffic yet"] };
const windowName = (value) => (value >= 3600 ? `${value / 3600} h` : `${value / 60} min`);

export function slos(page) {
  const since = page.slos[0]?.since_start.seconds ?? 0;
  at("slos-note").textContent = `since this process started, ${age(since)} ago; the 30-day budget is Prometheus's to know`;
  at("slos").replaceChildren(...page.slos.map((slo) => {
    const left = slo.budget_remaining;
    const { good, total, good_ratio } = slo.since_start;
    const digits = slo.target >= 0.999 ? 3 : 2;
    const width = left === null ? 0 : Math.max(0, Math.min(1, left)) * 100;
    const kind = STATES[slo.state][0];
    const gauge = h("div", { class: `meter ${kind}`, role: "meter", "aria-label": "Budget left", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": Math.round(width) }, h("span"));
    gauge.firstChild.style.width = `${width}%`;
    return h("article", { class: "card slo" },
      h("h3", {}, slo.title), h("p", {}, state(...STATES[slo.state])),
      h("p", { class: "figure" }, h("span", { class: "value" }, good_ratio === null ? "–" : percent(Math.floor(good_ratio * 1e5) / 1e5, digits)), " ",
        h("span", { class: "unit" }, `of ${percent(slo.target, slo.target >= 0.999 ? 1 : 0)} promised`)),
      gauge,
      h("p", { class: "note" }, left === null ? "nothing to judge yet" : `${left < 0 ? `overspent by ${percent(-left, 0)}` : `${percent(left, 0)} of the budget left`} · ${count(total - good)} bad of ${count(total)}`),
      burns(slo));
  }));
}

function burns(slo) {
  const cell = (burn) => {
    const kind = burn.rate === null ? "idle" : burn.rate > burn.pages_at ? "bad" : burn.rate > 1 ? "warn" : "ok";
    const short = burn.covered_seconds < burn.window_seconds - 5;
    const title = short ? `only ${age(burn.covered_seconds)} of it are covered` : `pages above ${burn.pages_at}× with its pair`;
    return h("td", { class: kind, title }, burn.rate === null ? "–" : `${number(burn.rate)}×`, short ? h("sup", { "aria-label": title }, "*") : null);
  };
  const partly = slo.burn.some((burn) => burn.covered_seconds < burn.window_seconds - 5);
  return h("div", {}, h("table", { class: "burns" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "burn"), slo.burn.map((burn) => h("th", { scope: "col" }, windowName(burn.window_seconds))))),
    h("tbody", {}, h("tr", {}, h("th", { scope: "row" }, "rate"), slo.burn.map(cell)))),
  partly ? h("p", { class: "note" }, "* the process is younger than the window") : null);
}

export function routes(page) {
  const { rows, all, covered_seconds } = page.routes;
  at("routes-note").textContent = `by p95, last ${age(covered_seconds)}${all > rows.length ? `, ${rows.length} of ${all}` : ""}`;
  if (!rows.length) {
    at("routes").replaceChildren(empty("No request in this time. Each route appears with its first one."));
    return;
  }
  const right = (text, kind) => h("td", { class: `n ${kind ?? ""}` }, text);
  const limit = (method) => (method === "GET" || method === "HEAD" ? 0.25 : 0.5);
  at("routes").replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "route"), ["requests", "p50", "p95", "p99", "4xx", "5xx"].map((name) => h("th", { scope: "col", class: "n" }, name)))),
    h("tbody", {}, rows.slice(0, 10).map((row) => h("tr", {},
      h("th", { scope: "row", class: "route" }, h("b", {}, row.method), " ", row.route.replace(/^\/api\/v1/, "")),
      right(count(row.count)), right(seconds(row.p50)),
      right(seconds(row.p95), row.p95 > limit(row.method) ? "warn" : ""), right(seconds(row.p99), row.p99 > limit(row.method) ? "warn" : ""),
      right(count(row.refused)), right(count(row.failed), row.failed ? "bad" : ""))))));
}

export function outbox(page) {
  if (!page.outbox.length) {
    at("outbox").replaceChildren(empty("No channel has told of itself yet."));
    return;
  }
  at("outbox").replaceChildren(...page.outbox.map((one) => {
    const sign = one.dead > 0 ? state("bad", `${count(one.dead)} dead`) : one.oldest_seconds > 29.5 ? state("warn", "late") : state("ok", "in time");
    return h("div", { class: "channel" }, h("h3", {}, one.channel, " ", sign), facts([
      ["pending", count(one.pending)], ["oldest due", one.oldest_seconds ? seconds(one.oldest_seconds) : "none"], ["dead", count(one.dead)],
      ["delivered", count(one.outcomes.delivered ?? 0), "since start"], ["failed attempts", count((one.outcomes.failed ?? 0) + (one.outcomes.dead ?? 0)), "since start"]]));
  }));
}

export function pool(page) {
  const { used, idle, max, waiting } = page.now.pool;
  const full = max > 0 && used >= max;
  const wait = last(page.series.pool_wait_p95.filter((value) => value !== null));
  const sign = waiting > 0 ? state(full ? "bad" : "warn", `${count(waiting)} waiting`) : full ? state("warn", "all in use") : state("ok", "nobody waits");
  const blocks = h("div", { class: "blocks", role: "img", "aria-label": `${used} used, ${idle} idle, ${max} at most` },
    max <= 64 ? Array.from({ length: max }, (_, index) => h("span", { class: index < used ? "used" : index < used + idle ? "idle" : "" })) : null);
  at("pool").replaceChildren(h("p", { class: "lead" }, sign), blocks, facts([
    ["used", `${count(used)} of ${count(max)}`], ["idle", count(idle)], ["wait p95", seconds(wait), "latest"],
    ["given up", count(page.totals.pool_timeouts), "since start"], ["retries", count(page.totals.database_retries), "since start"]]));
}

export function readiness(page) {
  const { checks, at_ms } = page.readiness;
  if (!checks.length) {
    at("readiness").replaceChildren(empty("Not asked yet."));
    return null;
  }
  const ready = checks.every((check) => check.status === "ok");
  at("readiness").replaceChildren(
    h("p", { class: "lead" }, ready ? state("ok", "ready") : state("bad", "not ready")),
    h("ul", { class: "checks" }, checks.map((check) => h("li", {},
      h("span", {}, check.status === "ok" ? state("ok", check.name) : state("bad", `${check.name} failed`)),
      h("span", { class: "n" }, seconds(check.latency_seconds)),
      check.detail ? h("p", { class: "why" }, check.detail) : null))),
    h("p", { class: "note" }, `asked ${age((page.at_ms - at_ms) / 1e3)} before these figures`));
  return ready;
}

export function build(page) {
  const { about, now, totals } = page;
  at("build").replaceChildren(facts([
    ["version", about.version, about.revision === "unknown" ? "" : about.revision.slice(0, 12)], ["environment", about.environment],
    ["log filter", page.log_filter], ["memory", bytes(now.memory_bytes)], ["file handles", `${count(now.open_fds)} of ${count(now.max_fds)}`],
    ["workers, tasks", `${count(now.workers)}, ${count(now.tasks)}`], ["panics", count(totals.panics)],
    ["shed, rate limited", `${count(totals.shed)}, ${count(totals.limited)}`], ["spans, log lines lost", `${count(totals.spans_lost)}, ${count(totals.log_lines_lost)}`],
    ...about.settings]));
}
