// Does it stay as it is? An ordinary rate for long: memory, handles, the outbox and latencies must not creep.

import { ALWAYS, arrivals, options as shared, sloThresholds, summary } from './lib/profile.js';
import { duration, rate } from './lib/settings.js';
import { makeWorld } from './lib/world.js';
import { act } from './lib/mix.js';

export const options = shared({ soak: arrivals(rate(30), duration('30m')) }, Object.assign(sloThresholds(), ALWAYS));
export const setup = makeWorld;
export const handleSummary = summary('soak');
export default act;
