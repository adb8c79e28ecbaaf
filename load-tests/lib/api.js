// One request: its trace context, its tags, and what is said of one that failed.

import http from 'k6/http';
import { check } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { API, TRACED } from './settings.js';
import { ROUTES, started } from './routes.js';

// Refusals (503 with Retry-After) and, apart from them, what nobody may see even beyond capacity.
export const refused = new Trend('refused_duration', true);
export const refusals = new Counter('refusals');
export const broken = new Counter('broken_answers');

// Availability is the service's: a 4xx is an answer. Whether it is the right one, the checks say.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }));

const REPORTED_PER_USER = 5;
let reported = 0;

function hex(digits) {
  let text = '';
  while (text.length < digits) text += Math.floor(Math.random() * 0x100000000).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

// A failed request is found again by its trace id in the service's log, and in the traces when it was sampled.
function report(key, response, trace) {
  if (reported >= REPORTED_PER_USER) return;
  reported += 1;
  const line = { request: ROUTES[key], status: response.status, trace_id: trace };
  if (response.error) line.error = response.error;
  if (response.headers['X-Request-Id']) line.request_id = response.headers['X-Request-Id'];
  if (response.status >= 400) line.body = String(response.body).slice(0, 300);
  console.error(JSON.stringify(line));
}

// Sends a request of `ROUTES[key]` to `path`. `expected` are the statuses that are right here; anything else is a failed
// check, except a refusal when overload is what the profile wants to see (`mayRefuse`).
export function send(key, path, { token, body, headers = {}, expected, kind, mayRefuse = false }) {
  const name = ROUTES[key];
  const method = name.slice(0, name.indexOf(' '));
  const trace = hex(32);
  const flags = Math.random() < TRACED ? '01' : '00';
  const sent = Object.assign({ traceparent: `00-${trace}-${hex(16)}-${flags}` }, headers);
  if (token) sent.authorization = `Bearer ${token}`;
  if (body !== undefined) sent['content-type'] = 'application/json';
  const tags = { name, kind: kind || (method === 'GET' ? 'read' : 'write') };

  started.add(1, { name });
  const payload = body === undefined ? null : JSON.stringify(body);
  const response = http.request(method, API + path, payload, { headers: sent, tags, timeout: '30s' });

  const refusal = response.status === 503 && response.headers['Retry-After'] !== undefined;
  if (refusal) {
    refused.add(response.timings.duration);
    refusals.add(1);
  }
  if (!refusal && (response.status === 0 || response.status >= 500)) {
    broken.add(1);
    report(key, response, trace);
  }
  if (mayRefuse && refusal) return response;
  const right = check(response, { [name]: (answer) => expected.includes(answer.status) }, tags);
  if (!right && (refusal || (response.status > 0 && response.status < 500))) report(key, response, trace);
  return response;
}

// The JSON of an answer with one of these statuses, else null.
export function json(response, ...statuses) {
  return statuses.includes(response.status) ? response.json() : null;
}
