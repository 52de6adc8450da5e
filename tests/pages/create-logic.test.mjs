// The rules of the form: prices, what is sent, where errors belong, when a request is the same request.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  attemptFor, comparisonNote, createBody, fieldErrors, idleChoices, locationChoices, outcomeUnknown, providerOffers, readEnv, sizeCards, worstCase,
} from '../../pages/create-logic.js';

const size = (name, price, offers = []) => ({
  size: name, server_type: `t-${name}`, vcpu: 2, memory_gib: 4, disk_gb: 40, location: 'fsn1', price_per_hour: price,
  scenarios: { hours_4_days_20: 80 * price, hours_8_days_20: 160 * price, always_on: 600 * price },
  offers: [{ server_type: `t-${name}`, location: 'fsn1', price_per_hour: price }, ...offers],
});
const provider = (name, sizes) => ({ name, title: name.toUpperCase(), currency: 'EUR', images: [], sizes, locations: [{ name: 'hel1', city: 'Helsinki', country: 'FI' }, { name: 'fsn1', city: 'Falkenstein', country: 'DE' }] });
const hetzner = provider('hetzner', [size('small', 0.01, [{ server_type: 't-small-b', location: 'hel1', price_per_hour: 0.02 }]), size('medium', 0.02)]);

test('three cards always, each with machine, price and the three scenarios', () => {
  const cards = sizeCards(hetzner, null);
  assert.deepEqual(cards.map((card) => [card.title, card.available]), [['Small', true], ['Medium', true], ['Large', false]]);
  assert.deepEqual(cards[0].scenarios.map((one) => one.cost), ['€0.80', '€1.60', '€6.00']);
  assert.equal(cards[0].price, '€0.01/h');
  assert.equal(cards[2].where, 'Not offered here');
});

test('two sizes that are one machine say so', () => {
  const twice = (changes) => provider('p', [size('small', 0.01), { ...size('medium', 0.01), server_type: 't-small', ...changes }, size('large', 0.03)]);
  assert.deepEqual(sizeCards(twice(), null).map((card) => card.note), ['', 'The same machine as Small', '']);
  assert.deepEqual(sizeCards(twice({ server_type: 't-other' }), null).map((card) => card.note), ['', '', ''], 'a price alone is no machine');
  const thrice = provider('p', ['small', 'medium', 'large'].map((name) => ({ ...size(name, 0.01), server_type: 't' })));
  assert.deepEqual(sizeCards(thrice, null).map((card) => card.note), ['', 'The same machine as Small', 'The same machine as Small']);
});

test('another location has its own type and price, and scenarios in proportion', () => {
  const [small, medium] = sizeCards(hetzner, 'hel1');
  assert.equal(small.where, 't-small-b · hel1');
  assert.deepEqual(small.scenarios.map((one) => one.cost), ['€1.60', '€3.20', '€12.00']);
  assert.deepEqual([medium.available, medium.where], [false, 'Not in this location']);
});

test('a price that nobody tells is shown as none, and is no low one', () => {
  const unknown = { ...size('small', 0.02, [{ server_type: 't-x', location: 'hel1', price_per_hour: null }]), price_per_hour: null, scenarios: null };
  const [here] = sizeCards(provider('ec2', [unknown]), null);
  assert.deepEqual([here.available, here.price, here.scenarios[0].cost, worstCase(here, 12, 'USD')], [true, '–', '–', null]);
  const known = size('small', 0.02, [
    { server_type: 't-x', location: 'hel1', price_per_hour: null },
    { server_type: 't-y', location: 'hel1', price_per_hour: 0.03 },
  ]);
  assert.equal(sizeCards(provider('ec2', [known]), 'hel1')[0].where, 't-y · hel1');
  const none = size('small', 0.02, [{ server_type: 't-x', location: 'hel1', price_per_hour: null }]);
  assert.equal(sizeCards(provider('ec2', [none]), 'hel1')[0].scenarios[0].cost, '–');
});

test('without a provider there are three cards that cannot be chosen', () => {
  assert.deepEqual(sizeCards(undefined, null).map((card) => card.available), [false, false, false]);
});

test('providers are sorted by the price of the chosen size; no price is no low one, and those without the size come last', () => {
  const silent = provider('silent', [{ ...size('small', 0), price_per_hour: null, scenarios: null }]);
  const options = { providers: [provider('none', []), silent, provider('dear', [size('small', 0.5)]), hetzner] };
  const offers = providerOffers(options, 'small');
  assert.deepEqual(offers.map((one) => one.name), ['hetzner', 'dear', 'silent', 'none']);
  assert.deepEqual(offers[0], { name: 'hetzner', title: 'HETZNER', available: true, machine: '2 vCPU · 4 GB · t-small · fsn1', price: '€0.01/h', month: '€1.60 for 8 h × 20 days' });
  assert.deepEqual(offers.slice(2).map((one) => [one.available, one.price, one.month]), [[true, '–', 'Price unknown'], [false, '', '']]);
});

test('amounts of several currencies are compared, and it is said how', () => {
  assert.equal(comparisonNote({ providers: [hetzner, provider('b', [])] }), '');
  assert.equal(comparisonNote({ providers: [hetzner, { ...hetzner, currency: 'USD' }] }), 'Cheapest first; EUR and USD are compared as they stand.');
});

test('locations are places, and the first choice is to have none', () => {
  assert.deepEqual(locationChoices(hetzner).map((one) => [one.name, one.label]), [['', 'Cheapest with room'], ['fsn1', 'Falkenstein, DE (fsn1)'], ['hel1', 'Helsinki, FI (hel1)']]);
});

test('idle limits stay within what the API allows, with its default among them', () => {
  const values = idleChoices({ defaults: { idle_minutes: 45 }, limits: { idle_minutes_min: 30, idle_minutes_max: 120 } }).map((one) => one.value);
  assert.deepEqual(values, [30, 45, 60, 120]);
});

test('the worst case is the price until the hard end', () => {
  const [small, , large] = sizeCards(hetzner, null);
  assert.equal(worstCase(small, 12, 'EUR'), 'At most €0.12, if it runs for all 12 h.');
  assert.equal(worstCase(large, 12, 'EUR'), null);
  assert.equal(worstCase(small, Number.NaN, 'EUR'), null);
});

test('what is empty is left to the API’s defaults, and numbers are numbers', () => {
  assert.deepEqual(createBody({ repo_url: ' https://h/o/r ', branch: '', location: null, idle_minutes: '30', max_hours: '12', name: undefined }), { repo_url: 'https://h/o/r', idle_minutes: 30, max_hours: 12 });
});

test('an environment is lines of NAME=value, and what is wrong in it is not repeated', () => {
  assert.deepEqual(readEnv(' export A=1\nB="two words"\r\n\n# no\nC=a=b'), { env: { A: '1', B: 'two words', C: 'a=b' }, wrong: null });
  assert.deepEqual(readEnv('\n'), { env: null, wrong: null });
  assert.deepEqual(readEnv('A=1\nhush hush'), { env: null, wrong: 'Line 2 is not NAME=value.' });
  assert.deepEqual(createBody({ env: 'A=1', allow_from: ' 203.0.113.0/24, 2001:db8::/32 ', trust_repo: false, snapshot_id: undefined }), { env: { A: '1' }, allow_from: ['203.0.113.0/24', '2001:db8::/32'] });
  assert.deepEqual(createBody({ trust_repo: true, env: '' }), { trust_repo: true });
});

test('every error finds its field, several at one field are joined, strange ones are kept', () => {
  const { fields, rest } = fieldErrors({ errors: [{ field: 'name', detail: 'must be shorter' }, { field: 'name', detail: 'Odd.' }, { field: 'env.K', detail: 'bad' }] }, new Set(['name']));
  assert.deepEqual([...fields], [['name', 'Must be shorter. Odd.']]);
  assert.deepEqual(rest, ['env.K: bad']);
  const inner = fieldErrors({ errors: [{ field: 'env.K', detail: 'is too long' }, { field: 'allow_from[2]', detail: 'is no network' }] }, new Set(['env', 'allow_from']));
  assert.deepEqual([...inner.fields], [['env', 'K is too long.'], ['allow_from', '2 is no network.']]);
});

test('the same body keeps its key over retries, another body gets another', () => {
  let made = 0;
  const newKey = () => `key-${(made += 1)}`;
  const first = attemptFor(null, { repo_url: 'a' }, newKey);
  assert.equal(attemptFor(first, { repo_url: 'a' }, newKey), first);
  assert.equal(attemptFor(first, { repo_url: 'b' }, newKey).key, 'key-2');
});

test('only a lost answer leaves open whether something was created', () => {
  assert.equal(outcomeUnknown({ code: 'timeout', status: 0 }), true);
  assert.equal(outcomeUnknown({ code: 'unreachable', status: 0 }), true);
  assert.equal(outcomeUnknown({ code: 'invalid_request', status: 400 }), false);
  assert.equal(outcomeUnknown({ code: 'provider_capacity', status: 503 }), false);
});
