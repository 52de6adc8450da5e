/**
 * What snapshots and leftovers mean, in words and figures. Pure; the clock is an argument. Drawing is the business of
 * snapshots-view.js and leftovers-view.js.
 */

import { clockTime, counted, duration, instant, money, plain, priceOf } from './format.js';
import { providerTitle } from './logic.js';

/**
 * @typedef {{id: string, provider: string, description: string, created_at: string, age_seconds: number, size_gb: number|null,
 *   min_disk_gb: number, is_ready: boolean, is_clean: boolean, profile: string|null, repo_url: string|null,
 *   expires_at: string|null, locations: string[], monthly_price?: {currency: string}|null}} Snapshot
 * @typedef {{provider: string, kind: string, id: string, name: string, reason: string, monthly_price?: {currency: string, amount: number}|null}} Leftover
 */

const KINDS = {
  vm: 'Server',
  primary_ip: 'Address',
  ssh_key: 'SSH key',
  firewall: 'Firewall',
  tag: 'Tag',
  volume: 'Disk',
  security_group: 'Firewall',
  snapshot: 'Snapshot',
  list: 'Not looked at',
};

/** Hours of a month, as the providers reckon. */
const MONTH_HOURS = 730;

/** @param {number|null} gigabytes */
const gigabytes = (gigabytes) => (Number.isFinite(gigabytes) ? `${Math.round(gigabytes * 10) / 10} GB` : '–');

/** The repository as people call it. @param {string|null} url */
export const repoLabel = (url) => plain(url).replace(/^https:\/\/|\.git$/g, '');

/**
 * @param {Snapshot} snapshot @param {Map<string, string>} titles @param {number} now
 */
export function snapshotText(snapshot, titles, now, owner = '') {
  const places = snapshot.locations.length > 0 ? ` (${snapshot.locations.map(plain).join(', ')})` : '';
  const expires = instant(snapshot.expires_at);
  return {
    name: plain(snapshot.description) || plain(snapshot.id),
    state: !snapshot.is_ready ? { label: 'Being stored', tone: 'busy' } : snapshot.is_clean ? { label: 'Ready', tone: 'good' } : { label: 'Not clean', tone: 'warn' },
    note: repoLabel(snapshot.repo_url),
    about: [
      owner && snapshot.owner && snapshot.owner !== owner ? `of ${plain(snapshot.owner)}` : '',
      `${providerTitle(titles, snapshot.provider)}${places}`,
      `${duration((now - (instant(snapshot.created_at) ?? now)) / 1000)} old`,
      `needs a disk of ${gigabytes(snapshot.min_disk_gb)}`,
      snapshot.is_ready && !snapshot.is_clean ? 'the workspace’s secrets are still on it' : '',
    ].filter(Boolean).join(' · '),
    size: gigabytes(snapshot.size_gb),
    price: priceOf(snapshot.monthly_price),
    until: expires === null ? 'you delete it' : expires - now > 86_400_000 ? `${Math.round((expires - now) / 86_400_000)} days more` : clockTime(expires, now),
  };
}

/** What goes with a snapshot. @param {Snapshot} snapshot */
export function snapshotLosses(snapshot) {
  return [
    `The stored disk${Number.isFinite(snapshot.size_gb) ? ` of ${gigabytes(snapshot.size_gb)}` : ''}, and all that was not pushed when it was taken`,
    'The fast start from it; workspaces that began with it go on',
  ];
}

/**
 * @param {Leftover} leftover @param {Map<string, string>} titles @param {import('./logic.js').Vm[]} vms
 */
export function leftoverText(leftover, titles, vms) {
  const cost = leftover.kind === 'vm' ? vms.find((vm) => vm.id === leftover.id)?.cost : null;
  const price = priceOf(leftover.monthly_price) || (cost ? money(cost.per_hour * MONTH_HOURS, cost.currency) : '');
  const isFree = leftover.monthly_price?.amount === 0;
  const reason = plain(leftover.reason);
  return {
    kind: KINDS[leftover.kind] ?? plain(leftover.kind),
    name: plain(leftover.name) || plain(leftover.id),
    about: `${providerTitle(titles, leftover.provider)} · ${reason.charAt(0).toUpperCase()}${reason.slice(1)}`,
    isBilled: Boolean(price) && !isFree,
    price: isFree ? 'free' : price && `${price} per month`,
  };
}

/** What a clean-up did. @param {{reaped: Leftover[], failed: Leftover[], notes?: string[]}} report */
export function reapText({ reaped, failed }) {
  const done = reaped.length > 0 ? `${counted(reaped.length, 'thing')} cleaned up.` : 'There was nothing to clean up.';
  return failed.length > 0 ? `${reaped.length > 0 ? done : 'Nothing could be cleaned up.'} The next run tries the rest again.` : done;
}

/**
 * What “delete everything” would destroy. @param {import('./logic.js').Vm[]} vms @param {Snapshot[]|null} snapshots null when unknown
 */
export function everythingLosses(vms, snapshots) {
  const names = (list) => {
    const shown = list.slice(0, 5).map(plain).join(', ');
    return list.length > 5 ? `${shown} and ${list.length - 5} more` : shown;
  };
  const losses = [];
  if (vms.length > 0) {
    losses.push(`${counted(vms.length, 'workspace')}: ${names(vms.map((vm) => vm.name))}`, 'Every change in them that is not pushed');
  }
  if (snapshots === null) losses.push('All of your snapshots');
  else if (snapshots.length > 0) losses.push(`${counted(snapshots.length, 'snapshot')}: ${names(snapshots.map((one) => one.description || one.id))}`);
  return losses;
}
