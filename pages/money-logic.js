/**
 * Money on a time axis: what each workspace has cost, comes to if nobody touches it, and at most. Pure; the clock and
 * the width are arguments. What something costs the API reckons, since providers bill by the second, by the started hour
 * or by the clock's hour; drawing is costs-view.js's business.
 */

import { clockTime, counted, hourlyPrice, instant, money, plain } from './format.js';

/** @typedef {import('./logic.js').Vm} Vm */

const HOUR_MS = 3_600_000;
const MONTH_HOURS = 730;
/** How far the picture reaches at most. */
const MOST_BACK_MS = 24 * HOUR_MS;
const MOST_AHEAD_MS = 7 * 24 * HOUR_MS;
/** Distances between marks of the axis, hours. */
const STEPS = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48];
const TICK_WIDTH = 72;
/** Of the words at a mark, at their most. */
const CHARACTER_WIDTH = 7;
const LANE = 46;
const TOP = 26;

/** When it goes if nobody touches it, or null where that is not before its expiry. @param {Vm} vm @param {number} now */
function idleEnd(vm, now) {
  const deadline = instant(vm.idle?.deadline);
  const expires = instant(vm.expires_at) ?? Number.POSITIVE_INFINITY;
  if (deadline === null || !['running', 'creating'].includes(vm.state)) return null;
  const end = Math.max(deadline, now);
  return end < expires ? end : null;
}

/**
 * The table below the picture. @param {Vm[]} vms @param {number} now
 * @returns {{id: string, name: string, cells: string[]}[]}
 */
export function costRows(vms, now) {
  return vms.map((vm) => {
    const idle = idleEnd(vm, now);
    const { currency, per_hour: perHour, so_far: soFar, until_idle: untilIdle, until_expiry: most } = vm.cost ?? {};
    const ends = instant(vm.expires_at);
    return {
      id: vm.id,
      name: plain(vm.name),
      cells: [
        vm.cost ? hourlyPrice(perHour, currency) : 'unknown',
        vm.cost ? money(soFar, currency) : '–',
        idle === null ? '–' : money(untilIdle, currency),
        money(most, currency),
        ends === null ? 'never' : clockTime(ends, now),
      ],
    };
  });
}

/** What all of it comes to in a month, if nothing ended. @param {Vm[]} vms @param {{currency: string|null, price_per_hour: number}} totals */
export function monthText(vms, totals) {
  return totals.currency && vms.length > 0 ? `${money(totals.price_per_hour * MONTH_HOURS, totals.currency)} a month, if nothing ended` : '';
}

/** When the last one ends. @param {Vm[]} vms @param {number} now */
export function lastEndText(vms, now) {
  const ends = vms.map((vm) => instant(vm.expires_at)).filter((end) => end !== null);
  return ends.length > 0 ? `if all of it runs until ${clockTime(Math.max(...ends), now)}` : '';
}

/**
 * The picture: one lane per workspace with three lengths of a bar (until now, until idle deletion, until expiry).
 * @param {Vm[]} vms @param {number} now @param {number} width pixels
 */
export function moneyChart(vms, now, width) {
  const created = vms.map((vm) => instant(vm.created_at) ?? now);
  const ends = vms.map((vm) => instant(vm.expires_at) ?? now + MOST_AHEAD_MS);
  const begin = Math.max(Math.min(...created, now - HOUR_MS), now - MOST_BACK_MS);
  const end = Math.min(Math.max(...ends, now + HOUR_MS), now + MOST_AHEAD_MS);
  const from = begin - (end - begin) * 0.02;
  const to = end + (end - begin) * 0.02;
  const x = (time) => Math.round(((Math.min(Math.max(time, from), to) - from) / (to - from)) * width * 10) / 10;
  const length = (start, stop) => ({ x: x(start), width: Math.max(0, Math.round((x(stop) - x(start)) * 10) / 10) });
  const bars = vms.map((vm, index) => {
    const idle = idleEnd(vm, now);
    const start = created[index];
    return {
      id: vm.id,
      name: fitted(plain(vm.name), width),
      y: TOP + index * LANE,
      past: length(start, now),
      idle: idle === null ? null : length(now, idle),
      most: length(now, ends[index]),
      cost: vm.cost ? `${money(vm.cost.so_far, vm.cost.currency)} → ${money(vm.cost.until_expiry, vm.cost.currency)}` : 'price unknown',
    };
  });
  return { width, height: TOP + vms.length * LANE + 4, now: x(now), ticks: ticksOf(from, to, now, width, x), bars };
}

/** A name beside its cost on a lane: letters are about this wide. */
function fitted(name, width) {
  const room = Math.max(8, Math.floor((width - 110) / 7));
  return name.length > room ? `${name.slice(0, room - 1)}…` : name;
}

/** Marks at whole hours of the reader's clock, as many as there is room for. */
function ticksOf(from, to, now, width, x) {
  const room = Math.max(2, Math.floor(width / TICK_WIDTH));
  const step = (STEPS.find((hours) => (to - from) / (hours * HOUR_MS) <= room) ?? STEPS.at(-1)) * HOUR_MS;
  const zone = new Date(now).getTimezoneOffset() * 60_000;
  const ticks = [];
  for (let time = Math.ceil((from - zone) / step) * step + zone; time < to; time += step) {
    const text = clockTime(time, now);
    const half = Math.ceil((text.length * CHARACTER_WIDTH) / 2);
    // The ends have no room for words, and now has its own.
    if (x(time) > half && x(time) < width - half) ticks.push({ x: x(time), text: Math.abs(x(time) - x(now)) < 44 ? '' : text });
  }
  return ticks;
}

/** What the picture shows, for those who do not see it. @param {Vm[]} vms */
export function chartLabel(vms) {
  return `${counted(vms.length, 'workspace')} on a time axis, from creation to end. The table below has the same figures.`;
}
