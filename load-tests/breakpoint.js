// At which rate does an SLO break? The rate rises in steps; each step is judged on its own requests, and the first that
// breaks an SLO, or drops arrivals, ends the test. That it broke is the finding: k6 then exits with 99.

import { arrivals, options as shared, sloThresholds, summary, vus } from './lib/profile.js';
import { duration, peak, places, rate, step } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

const first = rate(50);
const last = peak(2000);
const growth = step(1.4);
const seconds = duration('20s');
if (growth <= 1) throw new Error('STEP is a factor above 1');

const rates = [];
for (let at = first; at <= last; at *= growth) rates.push(Math.round(at));
const name = (at) => `rate_${at}`;

const scenarios = {};
const thresholds = { checks: ['rate==1'] };
rates.forEach((at, index) => {
  const more = { startTime: `${Math.round(index * seconds)}s`, ...vus(at, Math.max(places(400), at)) };
  scenarios[name(at)] = arrivals(at, seconds, more);
  const tags = `scenario:${name(at)}`;
  // Not before half of the step: one slow answer among the first few would be its 99th percentile.
  const abort = { abortOnFail: true, delayAbortEval: `${Math.round((index + 0.5) * seconds)}s` };
  Object.assign(thresholds, sloThresholds(tags, abort), {
    [`dropped_iterations{${tags}}`]: [{ threshold: `count<${Math.max(2, at / 50)}`, ...abort }],
    [`http_reqs{${tags}}`]: ['count>=0'],
    [`iterations{${tags}}`]: ['count>=0'],
  });
});

export const options = shared(scenarios, thresholds);
export const setup = makeWorld;
export const handleSummary = summary('breakpoint', ({ metrics }) => {
  const steps = rates.map((at) => {
    const of = (metric) => metrics[`${metric}{scenario:${name(at)}}`];
    const broken = [];
    for (const [metric, { thresholds: own }] of Object.entries(metrics)) {
      const mine = metric.match(/scenario:(\w+)/);
      if (!mine || mine[1] !== name(at)) continue;
      for (const [source, { ok }] of Object.entries(own || {})) if (!ok) broken.push(`${metric}: ${source}`);
    }
    return { rate: at, actions: of('iterations').values.count, requests: of('http_reqs').values.count, broken };
  });
  const tried = steps.filter((one) => one.requests > 0);
  const broke = tried.find((one) => one.broken.length > 0);
  const held = tried.filter((one) => one.broken.length === 0 && one.actions >= one.rate * seconds * 0.9).pop();
  const figures = { steps: tried, sustained: held ? held.rate : null, broke_at: broke ? broke.rate : null };
  const lines = tried.map((one) => `${one.rate} actions/s: ${one.requests} requests, ${one.broken.length ? 'broke' : 'held'}`);
  lines.push(held ? `held all SLOs at ${held.rate} actions/s` : 'held no step');
  lines.push(broke ? `broke at ${broke.rate} actions/s: ${broke.broken.join('; ')}` : `no step up to ${last} actions/s broke one`);
  return { figures, lines, terse: true };
});
export default act;
