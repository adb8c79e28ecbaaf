// Does everything work at all? A light, steady rate for seconds.

import { ALWAYS, arrivals, options as shared, sloThresholds, summary } from './lib/profile.js';
import { duration, rate } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

export const options = shared({ smoke: arrivals(rate(20), duration('12s')) }, Object.assign(sloThresholds(), ALWAYS));
export const setup = makeWorld;
export const handleSummary = summary('smoke');
export default act;
