// What happens beyond capacity? The service must refuse quickly (503 with Retry-After), break nothing else, and keep the
// SLOs again as soon as the load is ordinary. It refuses when CONVOKE_MAX_IN_FLIGHT requests are in flight: MAX_VUS must
// be larger, or the crowd waits in k6 instead.

import { arrivals, options as shared, ramp, sloThresholds, summary, vus } from './lib/profile.js';
import { duration, peak, places, rate, refusedWithin } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

const usual = rate(20);
const flood = peak(800);
const whole = duration('90s');
const flooded = whole * 0.6;

const scenarios = {
  flood: ramp(usual, [[flooded * 0.3, flood], [flooded * 0.7, flood]], vus(flood, places(1000))),
  // After the last request of the flood was answered, which takes up to its deadline.
  recovery: arrivals(usual, whole * 0.4, { startTime: `${Math.round(flooded + 15)}s` }),
};

export const options = shared(
  scenarios,
  Object.assign(sloThresholds('scenario:recovery'), {
    checks: ['rate==1'],
    broken_answers: ['count<1'],
    refusals: ['count>0'],
    refused_duration: [`p(95)<${refusedWithin(1000)}`],
    'dropped_iterations{scenario:recovery}': ['count<1'],
    'http_reqs{scenario:flood}': ['count>=0'],
  })
);
export const setup = makeWorld;
export const handleSummary = summary('stress', ({ metrics }) => {
  const refused = metrics.refused_duration ? metrics.refused_duration.values : { count: 0 };
  const flooding = metrics['http_reqs{scenario:flood}'].values.count;
  const figures = { flood_requests: flooding, refusals: refused.count, refused_p95_ms: refused['p(95)'] };
  const p95 = refused.count > 0 ? `, 95 % of them within ${refused['p(95)'].toFixed(0)} ms` : '';
  return { figures, lines: [`the flood: ${flooding} requests, of which ${refused.count} refused${p95}`] };
});
export default (world) => act(world, { mayRefuse: true });
