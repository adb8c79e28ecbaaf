// What all profiles share: options, thresholds from the SLOs, the summary.

import { MAX_DROPPED, SUMMARY_FILE, places } from './settings.js';
import { counted, counts } from './routes.js';

const PLACES = places(200);

const { slos } = JSON.parse(open('../thresholds.json'));

// The SLOs' thresholds over the part of each metric that has these tags ("scenario:recovery"), aborting if asked to.
export function sloThresholds(tags = '', options = {}) {
  const thresholds = {};
  for (const { k6 } of slos) {
    if (!k6) continue;
    const own = k6.metric.match(/^([^{]+)(?:\{(.*)\})?$/);
    const all = [own[2], tags].filter(Boolean).join(',');
    const key = all ? `${own[1]}{${all}}` : own[1];
    (thresholds[key] = thresholds[key] || []).push(Object.assign({ threshold: k6.threshold, abortOnFail: false }, options));
  }
  return thresholds;
}

export const ALWAYS = { checks: ['rate==1'], dropped_iterations: [`count<${MAX_DROPPED}`] };

export function options(scenarios, thresholds) {
  return {
    scenarios,
    thresholds: Object.assign(counted(), thresholds),
    setupTimeout: '5m',
    summaryTrendStats: ['avg', 'p(50)', 'p(95)', 'p(99)', 'max', 'count'],
    // Without `url`: it names each event, and would be a series for each in Prometheus.
    systemTags: ['method', 'name', 'status', 'scenario', 'error_code', 'expected_response'],
    userAgent: 'convoke-load-tests',
  };
}

// Virtual users made before the test, enough for answers of a second: making one later costs an arrival; and at most.
export function vus(rate, most) {
  return { preAllocatedVUs: Math.min(most, 300, Math.max(20, Math.ceil(rate))), maxVUs: most };
}

// So many arrive, whatever the service does: an open model. A virtual user is a place for one that waits; when all
// places are taken, the arrival is a dropped iteration. Longer than a request may take is waited for the last ones.
export function arrivals(rate, seconds, more = {}) {
  return Object.assign(
    {
      executor: 'constant-arrival-rate',
      rate: Math.max(1, Math.round(rate)),
      timeUnit: '1s',
      duration: `${Math.round(seconds)}s`,
      ...vus(rate, PLACES),
      gracefulStop: '35s',
    },
    more
  );
}

// The same with a rate that moves in straight lines through [seconds, rate] stages.
export function ramp(from, stages, more = {}) {
  const highest = Math.max(from, ...stages.map(([, target]) => target));
  return Object.assign(
    {
      executor: 'ramping-arrival-rate',
      startRate: Math.max(1, Math.round(from)),
      timeUnit: '1s',
      stages: stages.map(([seconds, target]) => ({ duration: `${Math.round(seconds)}s`, target: Math.round(target) })),
      ...vus(highest, PLACES),
      gracefulStop: '35s',
    },
    more
  );
}

function milliseconds(value) {
  return value === undefined ? '' : value.toFixed(1);
}

// What is printed: each route's count and latencies, then each threshold that means something.
function text(profile, data, found, notes) {
  const { metrics } = data;
  const count = (name) => (metrics[name] ? metrics[name].values.count : 0);
  const row = (name, cells) => `  ${name.padEnd(62)}${cells.map((cell) => String(cell).padStart(9)).join('')}`;
  const lines = [
    `${profile}: ${count('iterations')} actions, ${count('http_reqs')} requests in ${(data.state.testRunDurationMs / 1000).toFixed(0)} s, ` +
      `${count('dropped_iterations')} arrivals dropped`,
    row('request', ['answers', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms']),
  ];
  for (const { method, route } of found.begun) {
    const total = found.answered.filter((one) => one.method === method && one.route === route);
    const sum = total.reduce((all, one) => all + one.count, 0);
    const { values } = metrics[`http_req_duration{name:${method} ${route}}`] || {};
    if (sum > 0) {
      const stats = ['p(50)', 'p(95)', 'p(99)', 'max'].map((stat) => milliseconds(values[stat]));
      lines.push(row(`${method} ${route}`, [sum, ...stats]));
    }
  }
  const lag = metrics.delivery_lag && metrics.delivery_lag.values;
  if (lag && lag.count > 0) {
    const stats = ['p(50)', 'p(95)', 'p(99)', 'max'].map((stat) => milliseconds(lag[stat]));
    lines.push(row('from an invitation to the inbox', [lag.count, ...stats]));
  }
  for (const { metric, source, ok, samples } of notes.thresholds) {
    const state = ok ? (samples > 0 || source.startsWith('count') ? 'holds ' : 'empty ') : 'BROKEN';
    if (!ok || !notes.terse) lines.push(`  ${state}  ${metric}: ${source}`);
  }
  return `${lines.concat((notes.lines || []).map((line) => `  ${line}`)).join('\n')}\n`;
}

// handleSummary of a profile. `more(data)` adds what is its own: {lines, figures}, and `terse` when thresholds that hold need
// not be printed.
export function summary(profile, more = () => ({})) {
  return (data) => {
    const found = counts(data.metrics);
    const thresholds = [];
    for (const [metric, { thresholds: own, values: seen }] of Object.entries(data.metrics)) {
      // A counter that nothing counted is 0; a rate or a percentile of nothing says nothing.
      const samples = seen.passes === undefined ? seen.count : seen.passes + seen.fails;
      for (const [source, { ok }] of Object.entries(own || {})) {
        if (!/>=0$/.test(source)) thresholds.push({ metric, source, ok, samples });
      }
    }
    const { lines, figures, terse } = more(data);
    const values = (name) => (data.metrics[name] ? data.metrics[name].values : null);
    const written = {
      profile,
      seconds: data.state.testRunDurationMs / 1000,
      requests: values('http_reqs') ? values('http_reqs').count : 0,
      iterations: values('iterations') ? values('iterations').count : 0,
      dropped: values('dropped_iterations') ? values('dropped_iterations').count : 0,
      answered: found.answered,
      begun: found.begun,
      thresholds,
      figures: figures || {},
    };
    const outputs = { stdout: text(profile, data, found, { thresholds, lines, terse }) };
    if (SUMMARY_FILE) outputs[SUMMARY_FILE] = `${JSON.stringify(written, null, 2)}\n`;
    return outputs;
  };
}
