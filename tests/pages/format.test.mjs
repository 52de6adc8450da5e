// Money, durations, times and foreign text as people read them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockTime, counted, duration, hourlyPrice, instant, leadingTo, minutesAgo, money, plain, priceOf, safeUrl } from '../../pages/format.js';

test('money has two digits, and a small amount is never shown as nothing', () => {
  assert.equal(money(0, 'EUR'), '€0.00');
  assert.equal(money(0.004, 'EUR'), '<€0.01');
  assert.equal(money(0.136, 'EUR'), '€0.14');
  assert.equal(money(1234.5, 'USD'), '$1,234.50');
});

test('an unknown price is a dash, not a zero', () => {
  assert.equal(money(null, 'EUR'), '–');
  assert.equal(hourlyPrice(undefined, 'EUR'), '–');
});

test('prices per hour keep four digits below one, so that two small sizes differ', () => {
  assert.equal(hourlyPrice(0.0105, 'EUR'), '€0.0105/h');
  assert.equal(hourlyPrice(0.02, 'EUR'), '€0.02/h');
  assert.equal(hourlyPrice(1.5, 'USD'), '$1.50/h');
});

test('a currency that is no currency is shown as it came', () => {
  assert.equal(money(2, 'credits'), '2.00 credits');
  assert.equal(money(2, null), '2.00');
});

test('durations have at most two units and lose their seconds at ten minutes', () => {
  const cases = [[0, '0 s'], [59.9, '59 s'], [60, '1 min'], [65, '1 min 5 s'], [599, '9 min 59 s'], [600, '10 min'], [659, '10 min'], [3600, '1 h'], [12_000, '3 h 20 min'], [86_400, '1 d'], [187_200, '2 d 4 h']];
  for (const [seconds, text] of cases) assert.equal(duration(seconds), text);
  assert.equal(duration(-3), '0 s');
  assert.equal(duration(Number.NaN), '–');
});

test('ages of signals', () => {
  assert.deepEqual([null, 0, 3, 119, 120].map(minutesAgo), ['never', 'just now', '3 min ago', '119 min ago', '2 h ago']);
});

test('a time of another day carries its weekday', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');
  assert.equal(clockTime(Date.parse('2026-11-20T22:05:00Z'), now, 'UTC'), '22:05');
  assert.equal(clockTime(Date.parse('2026-11-21T00:05:00Z'), now, 'UTC'), 'Sat 00:05');
  assert.equal(clockTime(null, now, 'UTC'), '–');
});

test('instant reads RFC 3339 and nothing else', () => {
  assert.equal(instant('1970-01-01T00:00:01Z'), 1000);
  for (const wrong of ['soon', '', null, undefined, {}]) assert.equal(instant(wrong), null);
});

test('text from elsewhere cannot reorder what stands beside it', () => {
  assert.equal(plain('safe\u202Egnp.exe'), 'safe\uFFFDgnp.exe');
  assert.equal(plain('a\u0000b\u2066c'), 'a\uFFFDb\uFFFDc');
  assert.equal(plain('עברית ok 👩‍💻'), 'עברית ok 👩‍💻');
  assert.equal(plain(null), '');
});

test('only https, or http on this machine, may become a link', () => {
  assert.equal(safeUrl('https://203.0.113.7/terminal/'), 'https://203.0.113.7/terminal/');
  assert.equal(safeUrl('http://127.0.0.1:8790/guests/x/'), 'http://127.0.0.1:8790/guests/x/');
  for (const wrong of ['http://203.0.113.7/', 'javascript:alert(1)', 'data:text/html,x', 'ssh://git@h/o/r', 'https://a:b@h/', '', null]) assert.equal(safeUrl(wrong), null);
});

test('one of a thing has no plural', () => {
  assert.deepEqual([counted(1, 'workspace'), counted(2, 'workspace')], ['1 workspace', '2 workspaces']);
});

test('a sign-in link leads on within its own VM only', () => {
  const link = 'https://203.0.113.7/_mayfly/in#once';
  assert.equal(leadingTo(link, 'https://203.0.113.7/terminal/'), 'https://203.0.113.7/_mayfly/in?next=%2Fterminal%2F#once');
  for (const stranger of ['https://203.0.113.8/terminal/', 'javascript:alert(1)', '', undefined]) assert.equal(leadingTo(link, stranger), link);
  assert.equal(leadingTo('javascript:alert(1)', 'https://203.0.113.7/'), null);
});

test('a price is a currency and one amount, whatever it is called', () => {
  assert.equal(priceOf({ currency: 'EUR', per_month: 0.031 }), '€0.03');
  for (const none of [null, undefined, { currency: 'EUR' }, {}]) assert.equal(priceOf(none), '');
});
