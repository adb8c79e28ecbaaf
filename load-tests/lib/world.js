// The people and events of a test, made before it begins, and who is acting.

import exec from 'k6/execution';
import { json, send } from './api.js';
import { EVENTS, USERS } from './settings.js';

const PASSWORD = 'correct horse battery';
const WORDS = ['harvest', 'supper', 'chess', 'garden', 'choir', 'sailing', 'budget', 'retro', 'rust', 'observatory'];
const HOT = 5;
const GUESTS = 4;
const DAY = 86400;

export const pick = (list) => list[Math.floor(Math.random() * list.length)];

// An event of two hours within the next year.
export function draft(title, capacity, visibility = 'public') {
  const civil = (unix) => new Date(unix * 1000).toISOString().slice(0, 19);
  const start = Math.floor(Date.now() / 1000) + Math.floor(Math.random() * 365 * DAY);
  const zone = pick(['Europe/Berlin', 'UTC', 'America/New_York', 'Asia/Kolkata']);
  return {
    title,
    capacity,
    visibility,
    description: `${pick(WORDS)} and ${pick(WORDS)}, bring what you like`,
    location: pick(['Town hall', 'Harbour', 'Room 4', null]),
    tags: [pick(WORDS)],
    start: { date_time: civil(start), time_zone: zone },
    end: { date_time: civil(start + 3600 * 26), time_zone: zone },
  };
}

export const word = () => pick(WORDS);

function must(response, ...statuses) {
  const body = json(response, ...statuses);
  if (body === null) exec.test.abort(`the test cannot be set up: ${response.status} ${response.error} ${response.body}`);
  return body;
}

function login(email, options = {}) {
  const body = { email, password: PASSWORD };
  const response = send('login', '/api/v1/auth/login', Object.assign({ body, expected: [200] }, options));
  return { response, at: Date.now() };
}

// Makes USERS people and EVENTS events. The first few events are the hot ones: everybody is invited, and there are
// fewer seats than guests.
export function makeWorld() {
  const kind = 'setup';
  const run = `${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
  const users = [];
  for (let i = 0; i < USERS; i += 1) {
    const email = `load-${run}-${i}@example.org`;
    const account = { email, password: PASSWORD, display_name: `Load ${i}` };
    must(send('register', '/api/v1/auth/register', { body: account, expected: [201], kind }), 201);
    const { response, at } = login(email, { kind });
    const tokens = must(response, 200);
    const token = tokens.access_token;
    const { id } = must(send('me', '/api/v1/users/me', { token, expected: [200], kind }), 200);
    const keyed = { token, body: { name: 'load test', scope: 'write' }, expected: [201], kind };
    const { key } = must(send('key', '/api/v1/api-keys/', keyed), 201);
    users.push({ id, email, token, key, at, lifetime: tokens.expires_in * 1000 });
  }
  const events = [];
  for (let i = 0; i < EVENTS; i += 1) {
    const owner = i % USERS;
    const { token } = users[owner];
    const body = draft(`${word()} ${word()} ${i}`, i < HOT ? Math.ceil(USERS / 2) : 50);
    const headers = { 'idempotency-key': `${run}-${i}` };
    const { id } = must(send('create', '/api/v1/events/', { token, body, headers, expected: [201], kind }), 201);
    const others = users.map((_, user) => user).filter((user) => user !== owner);
    const guests = i < HOT ? others : others.map((_, at) => others[(i + at) % others.length]).slice(0, GUESTS);
    const participants = guests.map((guest) => ({ user_id: users[guest].id }));
    if (participants.length > 0) {
      const path = `/api/v1/events/${id}/participants/`;
      must(send('invite', path, { token, body: { participants }, expected: [201], kind }), 201);
    }
    events.push({ id, owner, guests });
  }
  return { users, events };
}

// A choice in which the first is the likeliest: the weight of rank n is 1/n, as the visits of pages fall off.
export class Zipf {
  constructor(list) {
    this.list = list;
    let sum = 0;
    this.bounds = list.map((_, rank) => (sum += 1 / (rank + 1)));
  }

  pick() {
    const at = Math.random() * this.bounds[this.bounds.length - 1];
    let [low, high] = [0, this.bounds.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.bounds[middle] < at) low = middle + 1;
      else high = middle;
    }
    return this.list[low];
  }
}

// Whom a virtual user acts as: one of the people, with own events, invitations, a session and an API key.
export class Person {
  constructor(world, index) {
    Object.assign(this, world.users[index]);
    this.mayRefuse = false;
    this.others = world.users.filter((_, user) => user !== index);
    this.all = new Zipf(world.events);
    this.own = new Zipf(world.events.filter((event) => event.owner === index));
    this.invited = new Zipf(world.events.filter((event) => event.guests.includes(index)));
    this.made = null;
    this.etags = {};
    this.usesKey = exec.vu.idInTest % 2 === 1;
  }

  // The session while it lasts, then the API key. A session renewed by a password would cost a hash for each virtual user
  // at about the same time, which no crowd of people does.
  credential() {
    if (!this.usesKey && Date.now() > this.at + this.lifetime * 0.9) this.usesKey = true;
    return this.usesKey ? this.key : this.token;
  }

  signIn() {
    const { response, at } = login(this.email, { mayRefuse: this.mayRefuse });
    const tokens = json(response, 200);
    if (tokens) Object.assign(this, { token: tokens.access_token, at, lifetime: tokens.expires_in * 1000, usesKey: false });
  }

  send(key, path, options) {
    return send(key, path, Object.assign({ token: this.credential(), mayRefuse: this.mayRefuse }, options));
  }
}
