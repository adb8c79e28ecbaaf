// Settings, from environment variables (k6 run -e NAME=VALUE); README.md has their table.

function text(name, fallback) {
  const given = __ENV[name];
  return given === undefined || given === '' ? fallback : given;
}

function number(name, fallback) {
  const value = Number(text(name, fallback));
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} is no number of zero or more: ${__ENV[name]}`);
  return value;
}

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };

// Seconds of a duration such as 90s, 30m, 1h30m.
function seconds(name, fallback) {
  const given = text(name, fallback);
  if (!/^(\d+(ms|s|m|h))+$/.test(given)) throw new Error(`${name} is no duration such as 90s or 30m: ${given}`);
  return [...given.matchAll(/(\d+)(ms|s|m|h)/g)].reduce((sum, [, count, unit]) => sum + count * UNITS[unit], 0);
}

export const API = text('API', 'http://127.0.0.1:8080').replace(/\/+$/, '');
export const SUMMARY_FILE = text('SUMMARY_FILE', '');
export const USERS = number('USERS', 10);
if (USERS < 2) throw new Error('USERS is 2 or more: somebody invites somebody');
export const EVENTS = number('EVENTS', 60);
export const TRACED = number('TRACED', 0.1);
export const MAX_DROPPED = number('MAX_DROPPED', 1);

// Actions per second, and a duration in seconds, each with the profile's own default.
export const rate = (fallback) => number('RATE', fallback);
export const peak = (fallback) => number('PEAK', fallback);
export const step = (fallback) => number('STEP', fallback);
export const duration = (fallback) => seconds('DURATION', fallback);
// Requests that may wait at once; beyond them an arrival is dropped.
export const places = (fallback) => number('MAX_VUS', fallback);
// Milliseconds.
export const refusedWithin = (fallback) => number('REFUSED_WITHIN', fallback);
