/**
 * What a new workspace can begin with: which backups there are of its repository, in words. Pure; the clock is an argument.
 * Asking for them and drawing the choice is create-form.js's business.
 */

import { instant } from './format.js';

/** @typedef {{name: string, repository: string, size_bytes: number, snapshots: {id: string, saved_at: string}[]}} Kept */

/** As many as somebody looks through; the newest are the first. */
const MAX_CHOICES = 30;

/** Host and path of an address as the API writes a workspace's repository. @param {string} repoUrl */
export function repositoryOf(repoUrl) {
  const [, host, path] = /^\w+:\/\/(?:[^@/]*@)?(\[[^\]]*\]|[^:/]+)(?::\d+)?\/+(.+?)(?:\.git)?\/*$/.exec(repoUrl) ?? [];
  return host ? `${host.toLowerCase()}/${path.split('/').filter(Boolean).join('/')}` : '';
}

/** What is kept of this repository, if anything can be put back. @param {Kept[]} kept @param {string} repoUrl @returns {Kept|null} */
export function keptOf(kept, repoUrl) {
  const repository = repositoryOf(repoUrl);
  return kept.find((one) => one.repository === repository && one.snapshots.length > 0) ?? null;
}

/** The choices, what is usual first. @param {Kept} kept @param {number} now @returns {{value: string, label: string}[]} */
export function restoreChoices(kept, now) {
  const at = (one) => instant(one.saved_at) ?? 0;
  const [newest, ...older] = [...kept.snapshots].sort((one, other) => at(other) - at(one));
  return [
    { value: '', label: `Continue where you left off (backup of ${ago(at(newest), now)}, ${bytes(kept.size_bytes)})` },
    { value: 'none', label: 'Start fresh, from a clone' },
    ...older.slice(0, MAX_CHOICES).map((one) => ({ value: one.id, label: `Older backup: ${when(at(one), now)}` })),
  ];
}

/** What the choice means. @param {string} choice */
export function restoreHint(choice) {
  if (choice === 'none') return 'The backups stay, and a later workspace can still continue from one of them.';
  return 'Files that are not pushed, the agent’s conversations and the shell’s history come back. What others pushed is fetched, never merged.';
}

/** In one unit. */
function ago(at, now) {
  const minutes = Math.max(0, Math.floor((now - at) / 60_000));
  if (minutes < 1) return 'just now';
  if (minutes < 120) return `${minutes} min ago`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1440)} days ago`;
}

/** Day and time, and in which year nobody needs to be told. */
function when(at, now) {
  const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' }).format(at);
  const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at);
  return `${day}, ${time} (${ago(at, now)})`;
}

/** @param {number} count */
function bytes(count) {
  if (!Number.isFinite(count)) return 'of unknown size';
  const [unit, size] = count >= 1e9 ? ['GB', count / 1e9] : [count >= 1e6 ? 'MB' : 'KB', count / (count >= 1e6 ? 1e6 : 1e3)];
  return `${size < 10 ? Math.round(size * 10) / 10 : Math.round(size)} ${unit}`;
}
