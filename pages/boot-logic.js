/**
 * The boot of a workspace: its phases, how long each takes and usually takes, how far it is. Pure: the clock is an argument.
 * Everything else that a list of workspaces means is in logic.js.
 */

import { duration, instant, plain } from './format.js';

/**
 * @typedef {import('./logic.js').Vm} Vm
 * @typedef {'done'|'active'|'waiting'|'failed'} StepState
 * @typedef {{phase: string, title: string, state: StepState, seconds: number|null, rough: boolean, usual: number}} Step
 */

const BOOT_PHASES = ['booting', 'docker', 'clone', 'devcontainer', 'ui'];

const PHASE_TITLES = {
  booting: 'Server',
  docker: 'Docker',
  clone: 'Clone',
  devcontainer: 'Devcontainer',
  ui: 'Web UI',
  ready: 'Ready',
  failed: 'Failed',
  stopping: 'Stopping',
};

const PHASE_WORK = {
  booting: 'The server boots',
  docker: 'Docker is being installed',
  clone: 'The repository is being cloned',
  devcontainer: 'The devcontainer is being built',
  ui: 'The web UI starts',
};

/** What a boot takes when the list holds no finished one to compare with. */
const USUAL_SECONDS = { booting: 30, docker: 25, clone: 5, devcontainer: 60, ui: 15 };

/** A boot that seems older is one after a stop and a start. */
const LONGEST_BOOT_MS = 3 * 3_600_000;

/** @param {string} phase */
export const phaseTitle = (phase) => PHASE_TITLES[phase] ?? plain(phase);

/** What is going on in a boot, as a sentence. @param {Vm} vm */
export function bootText(vm) {
  if (vm.phase === 'failed') return 'The boot stopped here';
  return vm.state === 'creating' ? 'The provider makes the server' : (PHASE_WORK[vm.phase] ?? phaseTitle(vm.phase));
}

/** @param {Vm} vm */
export function isBooting(vm) {
  return vm.state === 'creating' || (vm.state === 'running' && BOOT_PHASES.includes(vm.phase));
}

/**
 * Seconds that each phase usually takes: the median of the boots in the list that got past it.
 * @param {Vm[]} vms @returns {Record<string, number>}
 */
export function usualSeconds(vms) {
  const usual = { ...USUAL_SECONDS };
  for (const phase of BOOT_PHASES) {
    const seen = vms
      .filter((vm) => vm.phase === 'ready')
      .flatMap((vm) => vm.boot?.phases ?? [])
      .filter((time) => time.phase === phase)
      .map((time) => time.seconds)
      .sort((one, other) => one - other);
    if (seen.length > 0) usual[phase] = Math.max(1, seen[Math.floor(seen.length / 2)]);
  }
  return usual;
}

/**
 * The boot as steps. A finished phase has the seconds the VM reported. The running one has those since the
 * page saw it begin (`since`); a page opened later only knows the VM's age, so its figure is `rough`. So is what only
 * this page has timed (`took`): nobody reports how long the server itself took.
 * @param {Vm} vm @param {number} now @param {Record<string, number>} usual @param {number|null} since
 * @param {Record<string, number>} took
 * @returns {Step[]}
 */
export function timeline(vm, now, usual, since = null, took = {}) {
  const times = new Map((vm.boot?.phases ?? []).map((time) => [time.phase, time.seconds]));
  const failedAt = vm.phase === 'failed' ? (vm.boot?.reason?.phase ?? null) : null;
  const current = failedAt ?? vm.phase;
  const at = current === 'ready' ? BOOT_PHASES.length : BOOT_PHASES.indexOf(current);
  const created = instant(vm.created_at) ?? now;
  return BOOT_PHASES.map((phase, index) => {
    const step = { phase, title: phaseTitle(phase), state: 'waiting', seconds: null, rough: false, usual: usual[phase] };
    const reported = times.get(phase) ?? null;
    if (index === at && failedAt) return { ...step, state: 'failed', seconds: reported };
    if (index < at) return { ...step, state: 'done', seconds: reported ?? took[phase] ?? null, rough: reported === null };
    // Docker and clone run side by side: one may be done before its turn.
    if (index !== at) return reported === null ? step : { ...step, state: 'done', seconds: reported };
    const before = BOOT_PHASES.slice(0, at).reduce((sum, earlier) => sum + (times.get(earlier) ?? usual[earlier]), 0);
    // The first phase begins with the VM; after a stop and a start nobody knows when, unless this page saw it.
    const rough = since === null && phase !== 'booting';
    const begun = since ?? (rough ? created + before * 1000 : created);
    if (since === null && now - begun > LONGEST_BOOT_MS) return { ...step, state: 'active', rough: true };
    return { ...step, state: 'active', seconds: Math.max(0, Math.floor((now - begun) / 1000)), rough };
  });
}

/**
 * How far a boot is, 0 to 1, what is usually left of it, and whether its running phase takes longer than usual, so that
 * nobody can tell. Such a phase stays just short of its end: the bar never claims what has not happened.
 * @param {Step[]} steps @returns {{share: number, secondsLeft: number, late: boolean}}
 */
export function bootProgress(steps) {
  const total = steps.reduce((sum, step) => sum + step.usual, 0);
  const past = steps.reduce((sum, step) => sum + step.usual * stepShare(step), 0);
  return { share: total > 0 ? past / total : 0, secondsLeft: Math.max(0, Math.round(total - past)), late: steps.some((step) => step.state === 'active' && step.seconds > step.usual) };
}

/** @param {Step} step */
export function stepShare(step) {
  if (step.state === 'done' || step.state === 'failed') return 1;
  return step.state === 'active' ? Math.min(0.95, (step.seconds ?? 0) / step.usual) : 0;
}

/** @param {Step} step */
export function stepTime(step) {
  if (step.state === 'waiting') return `usually ${duration(step.usual)}`;
  if (step.seconds === null) return '';
  const against = step.state !== 'active' ? '' : step.seconds > step.usual ? `, usually ${duration(step.usual)}` : ` of ${duration(step.usual)}`;
  return `${step.rough ? 'about ' : ''}${duration(step.seconds)}${against}`;
}

/** The whole boot of a VM that is up, or null when it was never reported. @param {Vm} vm */
export function bootTime(vm) {
  const phases = vm.boot?.phases ?? [];
  return phases.length > 0 ? phases.reduce((sum, time) => sum + time.seconds, 0) : null;
}
