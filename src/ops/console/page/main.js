// Asks the service for its figures, hands them to what draws them, and says so when there is no answer.

import { age, clock, h, seconds, state } from "./format.js";
import * as panels from "./panels.js";
import * as traces from "./traces.js";

const LIMIT_MS = 4000;
const LIST_EVERY_MS = 2000;
const at = (id) => document.getElementById(id);

let page = null;
let answeredAt = null;
let silentSince = null;
let changedAt = null;
let restarted = null;

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function figures() {
  const next = await ask("/console/snapshot");
  if (page && next.started_ms !== page.started_ms) restarted = Date.now();
  if (!page || next.at_ms !== page.at_ms) changedAt = Date.now();
  const changed = !page || next.at_ms !== page.at_ms || next.readiness.at_ms !== page.readiness.at_ms;
  page = next;
  if (changed) for (const draw of [panels.signals, panels.slos, panels.routes, panels.outbox, panels.pool, panels.readiness, panels.build]) draw(page);
  at("identity").replaceChildren(...[page.about.environment, page.about.settings.find(([name]) => name === "database")?.[1], `version ${page.about.version}`, `up ${age((page.at_ms - page.started_ms) / 1e3)}`]
    .filter(Boolean).map((text) => h("span", {}, text)));
  at("foot").textContent = `A sample takes ${seconds(page.sample_ms / 1e3)} every ${page.every_seconds} s, whoever looks. Counters are those of /metrics; times are your clock's. Instance ${page.about.instance}.`;
}

async function turn() {
  try {
    await Promise.all([figures(), ask("/console/traces").then(traces.list)]);
    answeredAt = Date.now();
    silentSince = null;
  } catch (failure) {
    // Until a page was drawn once there is nothing to lose, and the reason may be a defect of the page's own.
    if (failure instanceof TypeError && failure.message.includes("undefined")) console.error(failure);
    silentSince ??= answeredAt ?? Date.now();
  }
  verdict();
}

function verdict() {
  const alarm = at("alarm");
  const tell = (kind, text) => {
    alarm.className = `alarm ${kind}`;
    // An alert that says the same again is not read out again.
    const words = document.createTextNode(text);
    if (alarm.textContent !== text) alarm.replaceChildren(words);
    alarm.hidden = false;
  };
  document.body.classList.toggle("stale", silentSince !== null);
  const now = Date.now();
  if (silentSince !== null) {
    tell("bad", `Service not answering since ${clock(silentSince)}.${page ? " What is below is what it last said." : ""}`);
    at("verdict").replaceChildren(state("bad", `not answering for ${age((now - silentSince) / 1e3)}`));
  } else if (page && now - changedAt > page.every_seconds * 4e3) {
    tell("warn", `The service answers, but its figures are from ${clock(page.at_ms)}: it is not getting round to taking new ones.`);
    at("verdict").replaceChildren(state("warn", "figures are old"));
  } else if (page) {
    const failed = page.readiness.checks.filter((check) => check.status !== "ok").map((check) => check.name);
    const paging = page.slos.filter((slo) => slo.state === "page");
    if (failed.length) tell("bad", `Not ready: ${failed.join(", ")}.`);
    else if (paging.length) tell("bad", `Burning its budget fast enough to page: ${paging.map((slo) => slo.title.toLowerCase()).join("; ")}.`);
    else if (restarted && now - restarted < 60_000) tell("warn", `The service restarted; everything counts from ${clock(page.started_ms)}.`);
    else alarm.hidden = true;
    at("verdict").replaceChildren(!page.readiness.checks.length ? state("idle", "not asked yet") : failed.length ? state("bad", "not ready") : paging.length ? state("bad", "ready, burning budget") : state("ok", "ready"));
  }
  document.title = `${silentSince !== null || !at("alarm").hidden ? "✖ " : ""}Convoke ops`;
}

async function forever() {
  for (;;) {
    // A page that nobody looks at asks nothing.
    if (!document.hidden) await turn();
    await new Promise((resolve) => setTimeout(resolve, LIST_EVERY_MS));
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
setInterval(verdict, 1000);
traces.start();
forever();
