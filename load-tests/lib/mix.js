// What people do, and how often. One call of `act` is one action: one request, or two that belong together.

import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Trend } from 'k6/metrics';
import { json } from './api.js';
import { Person, draft, pick, word } from './world.js';

const EVENTS = '/api/v1/events/';
const GIVEN_UP = 31000;
const deliveryLag = new Trend('delivery_lag', true);
const at = (event) => `${EVENTS}${event.id}`;

function browse(me) {
  const list = `${EVENTS}?limit=20&sort=${pick(['start', '-created'])}`;
  const page = json(me.send('list', list, { expected: [200] }), 200);
  if (page && page.next_cursor && Math.random() < 0.3) {
    me.send('list', `${list}&cursor=${encodeURIComponent(page.next_cursor)}`, { expected: [200] });
  }
}

// One month of a calendar.
function calendar(me) {
  const from = new Date(Date.now() + Math.floor(Math.random() * 12) * 30 * 86400e3);
  const to = new Date(from.getTime() + 30 * 86400e3);
  me.send('list', `${EVENTS}?limit=50&from=${from.toISOString()}&to=${to.toISOString()}`, { expected: [200] });
}

function search(me) {
  me.send('list', `${EVENTS}?limit=20&q=${word().slice(0, 4)}`, { expected: [200] });
}

function read(me) {
  const event = me.all.pick();
  const known = me.etags[event.id];
  const headers = known && Math.random() < 0.5 ? { 'if-none-match': known } : {};
  const response = me.send('event', at(event), { headers, expected: [200, 304] });
  if (response.status === 200) me.etags[event.id] = response.headers.Etag;
}

function guests(me) {
  me.send('participants', `${at(me.all.pick())}/participants/?limit=20`, { expected: [200] });
}

// A retry with the same key must find the event that is already made.
function create(me) {
  const title = `${word()} of ${exec.vu.idInTest}-${exec.vu.iterationInInstance}`;
  const body = draft(title, 50, pick(['public', 'public', 'private']));
  const unique = `${Date.now()}-${Math.floor(Math.random() * 1e9)}`;
  const headers = { 'idempotency-key': `${exec.vu.idInTest}-${exec.vu.iterationInInstance}-${unique}` };
  const made = json(me.send('create', EVENTS, { body, headers, expected: [201] }), 201);
  if (!made) return;
  me.made = { id: made.id, next: 0 };
  if (Math.random() < 0.05) {
    const again = json(me.send('create', EVENTS, { body, headers, expected: [201] }), 201);
    if (again && again.id !== made.id) throw new Error(`one key made two events: ${made.id} ${again.id}`);
  }
}

// Reads, then writes what was read: another session of the same person may have been faster (412).
function update(me) {
  const event = me.own.pick();
  if (!event) return;
  const response = me.send('event', at(event), { expected: [200] });
  if (response.status !== 200) return;
  const headers = { 'if-match': response.headers.Etag };
  const body = { description: `${word()}, changed at ${new Date().toISOString()}` };
  me.send('update', at(event), { body, headers, expected: [200, 412] });
}

// Into the event made last, one person after the other; else into a known one, where they are already (409).
function invite(me) {
  const fresh = me.made && me.made.next < me.others.length;
  const event = fresh ? me.made : me.own.pick();
  if (!event) return;
  const guest = fresh ? me.others[me.made.next++] : pick(me.others);
  const body = Math.random() < 0.5 ? { email: guest.email } : { user_id: guest.id };
  me.send('invite', `${at(event)}/participants/`, { body, expected: fresh ? [201] : [201, 409] });
}

// 409: no seat is free.
function answer(me) {
  const event = me.invited.pick();
  if (!event) return;
  const body = { status: pick(['accepted', 'accepted', 'tentative', 'declined']) };
  me.send('answer', `${at(event)}/participants/${me.id}/status`, { body, expected: [200, 409] });
}

function inbox(me) {
  const page = json(me.send('inbox', '/api/v1/notifications/?unread=true&limit=20', { expected: [200] }), 200);
  if (page && page.items.length > 0 && Math.random() < 0.5) {
    me.send('seen', `/api/v1/notifications/${page.items[0].id}/read`, { expected: [204] });
  }
}

// From the answer to an invitation until it lies in the guest's inbox, looked into as somebody who waits for it would.
function notice(me) {
  const made = json(me.send('create', EVENTS, { body: draft(`${word()} soon`, 50), expected: [201] }), 201);
  if (!made) return;
  const body = { user_id: peer.id };
  const response = me.send('invite', `${at(made)}/participants/`, { body, expected: [201] });
  if (response.status !== 201) return;
  const invited = Date.now();
  let found = null;
  while (!found && Date.now() - invited < GIVEN_UP) {
    sleep(0.1);
    // Read ones too: another session of the guest may have been faster.
    const page = json(peer.send('inbox', '/api/v1/notifications/?limit=50', { expected: [200] }), 200);
    found = page && page.items.find((item) => item.event_id === made.id);
  }
  deliveryLag.add(Date.now() - invited);
  check(found, { 'an invitation arrives': Boolean });
  if (found) peer.send('seen', `/api/v1/notifications/${found.id}/read`, { expected: [204] });
}

// A password hash is the dearest request there is, and rare.
function signIn(me) {
  me.signIn();
}

// Shares of 100.
const MIX = [
  [23.8, browse],
  [25, read],
  [14, calendar],
  [8, search],
  [3, guests],
  [9, inbox],
  [5, answer],
  [4, update],
  [3, create],
  [3, invite],
  [2, notice],
  [0.2, signIn],
];

let me = null;
let peer = null;

// One action by this virtual user. `mayRefuse`: a 503 with Retry-After is what the profile wants to see.
export function act(world, { mayRefuse = false } = {}) {
  if (me === null) {
    me = new Person(world, exec.vu.idInTest % world.users.length);
    peer = new Person(world, (exec.vu.idInTest + 1) % world.users.length);
  }
  me.mayRefuse = mayRefuse;
  peer.mayRefuse = mayRefuse;
  let share = Math.random() * 100;
  const [, action] = MIX.find(([weight]) => (share -= weight) < 0) || MIX[0];
  action(me);
}
