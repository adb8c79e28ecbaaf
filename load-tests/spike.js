// What does a sudden crowd do? From the ordinary rate to many times it within a second, and back: during the crowd the
// service may refuse (503 with Retry-After) but not break, and afterwards the SLOs hold again at once.

import { arrivals, options as shared, ramp, sloThresholds, summary } from './lib/profile.js';
import { duration, peak, rate } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

const usual = rate(20);
const crowd = peak(300);
const whole = duration('1m');
const part = Math.max(2, whole * 0.3);
const after = whole - part;

const scenarios = {
  before: arrivals(usual, part),
  crowd: ramp(usual, [[1, crowd], [part, crowd], [1, usual]], { startTime: `${Math.round(part)}s`, gracefulStop: '10s' }),
  recovery: arrivals(usual, after, { startTime: `${Math.round(part * 2 + 12)}s` }),
};

export const options = shared(
  scenarios,
  Object.assign(sloThresholds('scenario:before'), sloThresholds('scenario:recovery'), {
    checks: ['rate==1'],
    broken_answers: ['count<1'],
    'dropped_iterations{scenario:before}': ['count<1'],
    'dropped_iterations{scenario:recovery}': ['count<1'],
    // The crowd's arrivals that found all MAX_VUS places taken are reported, not judged.
    'dropped_iterations{scenario:crowd}': ['count>=0'],
    'http_reqs{scenario:crowd}': ['count>=0'],
  })
);
export const setup = makeWorld;
export const handleSummary = summary('spike', ({ metrics }) => {
  const dropped = metrics['dropped_iterations{scenario:crowd}'];
  const refusals = metrics.refused_duration;
  const figures = {
    crowd_requests: metrics['http_reqs{scenario:crowd}'].values.count,
    crowd_dropped: dropped ? dropped.values.count : 0,
    refusals: refusals ? refusals.values.count : 0,
  };
  return {
    figures,
    lines: [
      `the crowd: ${figures.crowd_requests} requests, of which ${figures.refusals} refused; ` +
        `${figures.crowd_dropped} arrivals found every virtual user waiting`,
    ],
  };
});
export default (world) => act(world, { mayRefuse: true });
