// Does an ordinary day keep the SLOs? Up to the expected rate, and on at it.

import { ALWAYS, options as shared, ramp, sloThresholds, summary } from './lib/profile.js';
import { duration, rate } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

const target = rate(50);
const whole = duration('2m');
const day = ramp(target / 10, [
  [whole * 0.2, target],
  [whole * 0.8, target],
]);

export const options = shared({ load: day }, Object.assign(sloThresholds(), ALWAYS));
export const setup = makeWorld;
export const handleSummary = summary('load');
export default act;
