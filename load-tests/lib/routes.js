// The routes that the tests use, spelled as the service's `http_route` spells them, and what is counted of each.

import { Counter } from 'k6/metrics';

const EVENT = '/api/v1/events/{event_id}';

export const ROUTES = {
  register: 'POST /api/v1/auth/register',
  login: 'POST /api/v1/auth/login',
  me: 'GET /api/v1/users/me',
  key: 'POST /api/v1/api-keys/',
  list: 'GET /api/v1/events/',
  create: 'POST /api/v1/events/',
  event: `GET ${EVENT}`,
  update: `PATCH ${EVENT}`,
  participants: `GET ${EVENT}/participants/`,
  invite: `POST ${EVENT}/participants/`,
  answer: `PATCH ${EVENT}/participants/{user_id}/status`,
  inbox: 'GET /api/v1/notifications/',
  seen: 'POST /api/v1/notifications/{notification_id}/read',
};

// 0 is k6's word for "no answer".
const STATUSES = [0, 200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 429, 500, 503];

// Counted before the request leaves: one that an aborted test interrupts appears nowhere else.
export const started = new Counter('requests_started');

// k6 keeps a metric's part with a tag only when a threshold names it: these can only hold.
export function counted() {
  const thresholds = {};
  for (const name of Object.values(ROUTES)) {
    thresholds[`requests_started{name:${name}}`] = ['count>=0'];
    thresholds[`http_req_duration{name:${name}}`] = ['max>=0'];
    for (const status of STATUSES) thresholds[`http_reqs{name:${name},status:${status}}`] = ['count>=0'];
  }
  return thresholds;
}

// Every count of a summary as {method, route, status, count}, and how many requests were begun: {method, route, count}.
export function counts(metrics) {
  const of = (key) => (metrics[key] ? metrics[key].values.count : 0);
  const answered = [];
  const begun = [];
  for (const name of Object.values(ROUTES)) {
    const [method, route] = name.split(' ');
    begun.push({ method, route, count: of(`requests_started{name:${name}}`) });
    for (const status of STATUSES) {
      const count = of(`http_reqs{name:${name},status:${status}}`);
      if (count > 0) answered.push({ method, route, status, count });
    }
  }
  return { answered, begun };
}
