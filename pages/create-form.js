/**
 * The view that makes a workspace: draws the choices of `GET /options`, collects the answers, shows every
 * error at its field. The rules are in create-logic.js and repo-url.js; sending is api.js's business.
 */

import {
  attemptFor, comparisonNote, createBody, fieldErrors, idleChoices, locationChoices, outcomeUnknown, providerOffers, readEnv, SECRET_FIELDS, sizeCards, worstCase,
} from './create-logic.js';
import { announce, clone, drawNotices, parts, reconcile, setAttribute, setChoices, setLines, setText, show } from './dom.js';
import { duration, plain } from './format.js';
import { mountHeld } from './held-secrets.js';
import { mountKept } from './kept-keys.js';
import { snapshotText } from './kept-logic.js';
import { attemptLines, providerTitle, troubleText } from './logic.js';
import { understandRepo } from './repo-url.js';
import { keptOf, restoreChoices, restoreHint } from './restore-logic.js';

/** Fields of the API that the form has a place for. */
const FIELDS = new Set([
  'repo_url', 'size', 'provider', 'location', 'web_ui', 'idle_minutes', 'anthropic_api_key', 'claude_code_oauth_token',
  'branch', 'name', 'max_hours', 'image', 'git_token', 'ssh_public_key', 'env', 'allow_from', 'devcontainer_image', 'market', 'trust_repo', 'snapshot_id', 'restore',
]);
/** Those that are chosen from cards and rows, or by an address: they have no input of their own. */
const CHOSEN = new Set(['size', 'provider', 'snapshot_id']);
/** Inputs whose value goes into the request as it stands. */
const SIMPLE = ['location', 'web_ui', 'idle_minutes', 'branch', 'name', 'max_hours', 'image', 'ssh_public_key', 'allow_from', 'devcontainer_image', 'market'];

/** @param {HTMLElement} view @param {import('./vm-actions.js').Page & {onCreated: (created: any) => void, titles: () => Map<string, string>}} page */
export function mount(view, page) {
  const el = parts(view);
  const input = Object.fromEntries([...FIELDS, 'agent'].filter((name) => !CHOSEN.has(name)).map((name) => [name, view.querySelector(`#${name}`)]));
  /** @type {import('./create-logic.js').Options|null} */
  let options = null;
  let size = null;
  let provider = null;
  /** @type {import('./kept-logic.js').Snapshot|null} what its disk begins as; it decides the provider */
  let source = null;
  /** @type {import('./restore-logic.js').Kept[]} what is kept of workspaces, looked up whenever the form is opened */
  let backups = [];
  let isKeptDue = false;
  let busy = false;
  /** @type {{key: string, body: string}|null} */
  let attempt = null;
  /** Which form this is: what was begun in an earlier one no longer changes it. */
  let round = 0;
  /** The branch came with an address, so that the next address may take it away. */
  let isBranchGiven = false;
  let isLeft = false;
  /** Somebody has been here before: a form that was just opened has nothing of an earlier one. */
  let isUsed = false;
  /** @type {string|null} the snapshot that is being looked up */
  let looking = null;

  const providerNow = () => options?.providers.find((one) => one.name === provider);
  const cardNow = () => sizeCards(providerNow(), input.location.value || null).find((card) => card.size === size);
  const fieldOf = (name) => view.querySelector(`[data-field="${name}"]`);
  const whose = () => (page.session() && options ? `${page.session().apiUrl} ${options.owner}` : null);
  const whats = { anthropic_api_key: 'key', claude_code_oauth_token: 'OAuth token', git_token: 'Git token', env: 'environment' };
  const held = mountHeld(Object.fromEntries(SECRET_FIELDS.map((name) => [name, { field: fieldOf(name), input: input[name], what: whats[name] }])), () => draw());
  const { env: _, ...keepable } = whats;
  const kept = mountKept(
    Object.fromEntries(Object.entries(keepable).map(([name, what]) => [name, { field: fieldOf(name), input: input[name], what }])),
    whose,
    () => {
      input.agent.dataset.touched = 'true';
      draw();
    },
  );

  const setFieldError = (name, text) => {
    const error = view.querySelector(`#${name}-error`);
    if (!error) return;
    setText(error, text);
    show(error, Boolean(text));
    const controls = CHOSEN.has(name) ? fieldOf(name).querySelectorAll('input') : [input[name]];
    for (const control of controls) setAttribute(control, 'aria-invalid', text ? 'true' : null);
  };

  const clearErrors = () => {
    for (const name of FIELDS) setFieldError(name, '');
    show(el.problem, false);
  };

  /** What the pasted text means, said under the field; a branch in it goes to its own field. */
  const readRepo = () => {
    const text = input.repo_url.value;
    const result = text.trim() ? understandRepo(text) : null;
    if (result?.ok) {
      if (!input.branch.dataset.touched) input.branch.value = result.branch ?? '';
      const branch = input.branch.value.trim();
      setText(el.repoHint, `Clones ${plain(result.label)}${branch ? `, branch ${plain(branch)}` : ''}.${result.note ? ` ${result.note}` : ''}`);
    } else {
      setText(el.repoHint, 'owner/name, or any GitHub, GitLab or git address: links to a branch or a file work too.');
    }
    setText(el.sideRepo, result?.ok ? plain(result.label) : '–');
    return result;
  };

  const drawSizes = () => {
    const cards = sizeCards(providerNow(), input.location.value || null);
    reconcile(el.sizes, cards, (card) => card.size, () => clone('size-template'), (label, card) => {
      const radio = label.firstElementChild;
      const at = parts(label);
      radio.value = card.size;
      radio.disabled = !card.available;
      radio.checked = card.available && card.size === size;
      radio.onchange = () => {
        size = card.size;
        draw();
      };
      for (const name of ['title', 'price', 'machine', 'memory', 'where', 'note']) setText(at[name], card[name]);
      show(at.note, Boolean(card.note));
      reconcile(at.scenarios, card.scenarios, (one) => one.title, () => clone('scenario-template'), (line, one) => {
        setText(parts(line).title, one.title);
        setText(parts(line).cost, one.cost);
      });
    });
  };

  const drawOffers = () => {
    const offers = providerOffers(options, size);
    reconcile(el.offers, offers, (offer) => offer.name, () => clone('offer-template'), (label, offer) => {
      const radio = label.firstElementChild;
      const at = parts(label);
      radio.value = offer.name;
      radio.disabled = Boolean(source) && offer.name !== source.provider;
      radio.checked = offer.name === provider;
      radio.onchange = () => {
        provider = offer.name;
        delete input.location.dataset.touched;
        draw();
      };
      for (const name of ['title', 'machine', 'price', 'month']) setText(at[name], offer[name]);
    });
    show(fieldOf('provider'), offers.length > 1);
    setText(el.providerHint, source ? 'A snapshot can be started where it is stored.' : comparisonNote(options));
  };

  const drawSource = () => {
    show(el.source, source !== null);
    if (!source) return;
    const text = snapshotText(source, page.titles(), Date.now());
    setText(el.sourceName, text.name);
    setText(el.sourceNote, `${text.size} · ${text.about}`);
  };

  /** What is kept of the repository that stands there, where the disk does not begin with something else. */
  const drawRestore = () => {
    const repo = understandRepo(input.repo_url.value);
    const found = repo.ok && !source ? keptOf(backups, repo.repo_url) : null;
    if (found?.name !== fieldOf('restore').dataset.of) delete input.restore.dataset.touched;
    setAttribute(fieldOf('restore'), 'data-of', found?.name ?? null);
    show(fieldOf('restore'), found !== null);
    setChoices(input.restore, found ? restoreChoices(found, Date.now()) : [{ value: '', label: '' }], '');
    setText(el.restoreHint, restoreHint(input.restore.value));
    show(el.unkept, options.backups === 'none');
  };

  const drawAgent = () => {
    const { anthropic_api_key: key, claude_code_oauth_token: token } = options.configured ?? {};
    const configured = key || token;
    setChoices(
      input.agent,
      [
        { value: '', label: configured ? 'The deployment’s own key' : 'None: sign in inside the workspace' },
        { value: 'anthropic_api_key', label: 'Anthropic API key' },
        { value: 'claude_code_oauth_token', label: 'Claude Code OAuth token (subscription)' },
      ],
      ['anthropic_api_key', 'claude_code_oauth_token'].find((name) => kept.of(name)) ?? '',
    );
    for (const name of ['anthropic_api_key', 'claude_code_oauth_token']) show(fieldOf(name), input.agent.value === name);
    const own = configured ? 'Claude Code works at once, on the deployment’s account.' : 'Claude Code asks you to sign in the first time.';
    setText(el.agentHint, input.agent.value ? 'Sent once, sealed for this VM, gone with it.' : own);
  };

  const drawSide = () => {
    const card = cardNow();
    const { title, currency } = providerNow() ?? {};
    const hours = Number(input.max_hours.value);
    setText(el.sideMachine, card?.available ? `${plain(title)} · ${card.where} · ${card.machine}` : '–');
    setText(el.sidePrice, card?.price ?? '–');
    setText(el.sideEnd, `Idle for ${duration(Number(input.idle_minutes.value) * 60)}, at the latest after ${duration(hours * 3600)}`);
    setText(el.sideWorst, worstCase(card, hours, currency) ?? '');
  };

  /** What is chosen has to exist: a provider, a place of its own, a size there. Everything that is drawn follows from it. */
  const settle = () => {
    const { defaults, providers } = options;
    if (source) provider = source.provider;
    if (!providers.some((one) => one.name === provider)) provider = (providers.find((one) => one.name === defaults.provider) ?? providers[0])?.name ?? null;
    const places = source?.locations.length ? new Set(['', ...source.locations]) : null;
    setChoices(input.location, locationChoices(providerNow()).filter((one) => !places || places.has(one.name)).map(({ name, label }) => ({ value: name, label })), defaults.location ?? '');
    const cards = sizeCards(providerNow(), input.location.value || null);
    if (!cards.find((card) => card.size === size)?.available) size = cards.find((card) => card.available)?.size ?? size;
  };

  const draw = () => {
    if (!options) return;
    const { defaults, configured = {} } = options;
    settle();
    drawOffers();
    setChoices(input.web_ui, options.web_uis.map((one) => ({ value: one.name, label: plain(one.title) })), defaults.web_ui);
    setChoices(input.idle_minutes, idleChoices(options), defaults.idle_minutes);
    setChoices(input.image, (providerNow()?.images ?? []).map((name) => ({ value: name, label: plain(name) })), defaults.image);
    if (!input.max_hours.value) input.max_hours.value = String(defaults.max_hours ?? '');
    setAttribute(input.max_hours, 'max', options.limits?.max_hours ? String(options.limits.max_hours) : null);
    setText(el.gitHint, configured.git_token ? 'Empty: the deployment’s own token.' : 'For a private repository, and to push: a token, or a deploy key with an ssh URL.');
    setText(el.sshHint, configured.ssh_public_key ? 'Empty: the deployment’s own key.' : 'Without one there is no SSH, only the browser.');
    const markets = providerNow()?.markets ?? [];
    setChoices(input.market, [{ value: '', label: 'On demand' }, ...(markets.includes('spot') ? [{ value: 'spot', label: 'Spot: cheaper, may be taken back' }] : [])], '');
    show(fieldOf('market'), markets.includes('spot'));
    kept.draw();
    drawSource();
    drawRestore();
    drawSizes();
    drawAgent();
    drawSide();
  };

  /** @param {{title: string, detail: string}|null} trouble why the choices themselves are missing */
  const drawNotice = (trouble) => {
    const titles = new Map((options?.providers ?? []).map((one) => [one.name, plain(one.title)]));
    const notices = trouble ? [{ key: '', tone: '-warn', ...trouble }] : (options.errors ?? []).map((error) => ({ key: error.provider, tone: '-warn', title: `${providerTitle(titles, error.provider)} is in trouble`, detail: plain(error.detail) }));
    drawNotices(el.notices, notices);
  };

  const setBusy = (on) => {
    busy = on;
    setAttribute(el.submit, 'aria-busy', on ? 'true' : null);
    setText(el.submitText, on ? 'Creating…' : attempt ? 'Try again' : 'Create workspace');
  };

  const isWanted = (name) => name === 'git_token' || name === 'env' || input.agent.value === name;

  /**
   * Has what is to be remembered sealed; from then on this page has the ciphertext alone.
   * @returns {Promise<{status: number, name: string, why: string}|null>} why it could not be
   */
  const sealTyped = async () => {
    for (const name of Object.keys(keepable).filter((one) => isWanted(one) && kept.isWanted(one))) {
      const typed = held.take(name);
      if (!typed) continue;
      const asked = page.session();
      const answer = await page.api().seal(typed);
      if (asked !== page.session()) return null;
      if (!answer.ok) {
        const why = plain(answer.problem.errors?.[0]?.detail ?? troubleText(answer.problem, '').title);
        return { status: answer.problem.status, name, why: `Cannot be sealed: ${why}. It goes without, if it is not to be remembered.` };
      }
      held.drop(name);
      kept.keep(name, answer.data.sealed);
    }
    return null;
  };

  const collect = (repo) => {
    const values = { repo_url: repo.repo_url, size, provider, snapshot_id: source?.id, trust_repo: input.trust_repo.checked };
    for (const name of SIMPLE) values[name] = input[name].value;
    values.restore = input.restore.value;
    for (const name of SECRET_FIELDS) {
      if (isWanted(name)) values[name] = held.take(name) || (kept.of(name) ?? '');
    }
    return createBody(values);
  };

  /** @param {string} title @param {string[]} list @param {Map<string, string>} fields */
  const showProblem = (title, list, fields) => {
    for (const [name, text] of fields) {
      setFieldError(name, text);
      if (name === 'anthropic_api_key' || name === 'claude_code_oauth_token') show(fieldOf(name), true);
    }
    setText(el.problemTitle, title);
    setLines(el.problemList, list);
    show(el.problem, Boolean(title));
    const hasAdvanced = [...fields.keys()].some((name) => el.advanced.contains(fieldOf(name)));
    if (hasAdvanced) el.advanced.open = true;
    const first = view.querySelector('[aria-invalid="true"]:not(:disabled)');
    if (first) first.focus();
    else if (title) el.problem.focus();
  };

  const explain = (problem) => {
    if (outcomeUnknown(problem)) {
      showProblem('No answer arrived', ['It may or may not have been created. Try again is safe: the same request never makes a second workspace.'], new Map());
      return;
    }
    const { fields, rest } = fieldErrors(problem, FIELDS);
    // A secret that was refused is of no use, typed or kept.
    for (const name of SECRET_FIELDS) if (fields.has(name) && !held.drop(name) && kept.of(name)) kept.forget(name);
    const count = fields.size + rest.length;
    const trouble = troubleText({ ...problem, errors: [] }, '');
    if (fields.size > 0) showProblem(count === 1 ? 'One thing needs a change' : `${count} things need a change`, rest, fields);
    else showProblem(trouble.title, [trouble.detail, ...rest, ...attemptLines(problem.attempts)].filter(Boolean), fields);
  };

  /** What may be sent again is kept while somebody is here to do so. */
  const showHeld = () => (isLeft ? held.forget() : held.draw());

  const submit = async () => {
    if (busy || !options) return;
    clearErrors();
    const repo = readRepo() ?? understandRepo('');
    const missing = new Map();
    if (!repo.ok) missing.set('repo_url', repo.reason);
    const hours = input.max_hours.value ? Number(input.max_hours.value) : 1;
    const most = options.limits?.max_hours ?? Number.POSITIVE_INFINITY;
    if (input.max_hours.validity.badInput || !(hours > 0 && hours <= most)) missing.set('max_hours', Number.isFinite(most) ? `Between 1 and ${most} hours.` : 'At least one hour.');
    const { wrong } = readEnv(input.env.value);
    if (wrong) missing.set('env', wrong);
    if (input.agent.value && !input[input.agent.value].value.trim() && !held.has(input.agent.value) && !kept.of(input.agent.value)) missing.set(input.agent.value, 'Paste the key, or choose another way above.');
    if (missing.size > 0) {
      showProblem(missing.size === 1 ? 'One thing needs a change' : `${missing.size} things need a change`, [], missing);
      return;
    }
    setBusy(true);
    const asked = page.session();
    const mine = round;
    const unsealed = await sealTyped();
    if (asked !== page.session() || mine !== round) return;
    if (unsealed?.status === 401) return void page.rejected();
    if (unsealed) {
      setBusy(false);
      showProblem('The key cannot be remembered', [], new Map([[unsealed.name, unsealed.why]]));
      return void showHeld();
    }
    const body = collect(repo);
    attempt = attemptFor(attempt, body, () => crypto.randomUUID());
    const sent = attempt;
    held.draw();
    announce('Creating the workspace.');
    const answer = await page.api().create(sent.body, sent.key);
    if (asked !== page.session()) return;
    if (answer.ok) {
      // The password is shown in any case; another form that was begun meanwhile stays.
      if (mine === round) reset();
      page.onCreated(answer.data);
      return;
    }
    if (answer.problem.status === 401) return void page.rejected();
    if (mine !== round) {
      const { title, detail } = troubleText(answer.problem, '');
      return void drawNotices(el.notices, [{ key: 'earlier', tone: '-warn', title: `The workspace of ${plain(repo.label)} was not created`, detail: detail || title }]);
    }
    setBusy(false);
    explain(answer.problem);
    showHeld();
  };

  /** Back to an empty form, with no secret left in it or in memory. */
  function reset() {
    round += 1;
    attempt = null;
    held.forget();
    isBranchGiven = false;
    isUsed = false;
    el.form.reset();
    for (const control of Object.values(input)) delete control.dataset.touched;
    source = null;
    backups = [];
    provider = options?.defaults.provider ?? provider;
    size = options?.defaults.size ?? size;
    el.advanced.open = false;
    clearErrors();
    setBusy(false);
    readRepo();
    draw();
  }

  el.form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  el.form.addEventListener('input', (event) => {
    const { target } = event;
    target.dataset.touched = 'true';
    // The branch of a link is one of its repository, and none of another.
    if (target === input.repo_url && isBranchGiven) delete input.branch.dataset.touched;
    if (target === input.branch && !target.value) delete target.dataset.touched;
    if (target === input.branch || target === input.repo_url) isBranchGiven = false;
    if (target === input.repo_url || target === input.branch) readRepo();
    if (FIELDS.has(target.id)) setFieldError(target.id, '');
    draw();
  });
  // Leaving the field is the moment to say that its text means nothing.
  input.repo_url.addEventListener('change', () => {
    const result = readRepo();
    if (result && !result.ok) setFieldError('repo_url', result.reason);
    // What waits to be sent again would go to this one: it is not to wait out of sight.
    if (held.has('git_token') || held.has('env')) el.advanced.open = true;
  });

  el.sourceOff.addEventListener('click', () => {
    source = null;
    draw();
    input.repo_url.focus();
  });

  /** What an address says about a new workspace. */
  const prefill = (repo, branch) => {
    if (repo !== null) input.repo_url.value = repo.slice(0, 2000);
    if (branch !== null) {
      input.branch.value = branch.slice(0, 300);
      input.branch.dataset.touched = 'true';
      isBranchGiven = true;
    }
    const result = readRepo();
    if (result && !result.ok) setFieldError('repo_url', result.reason);
  };

  /** Whether an address speaks of something else than what the form has begun with. */
  const isOther = ({ repo, branch, snapshot }) => {
    const [given, now] = [repo ?? '', input.repo_url.value].map(understandRepo);
    if (repo !== null && (given.ok && now.ok ? given.repo_url !== now.repo_url : repo.trim() !== input.repo_url.value.trim())) return true;
    const wanted = branch ?? (given.ok ? given.branch : null);
    if (wanted ? wanted !== input.branch.value.trim() : repo !== null && isBranchGiven) return true;
    return snapshot !== null && source?.id !== snapshot;
  };

  /** The snapshot that an address names: looked up, since it decides the provider and knows the repository. */
  const startFrom = async (id) => {
    const mine = round;
    looking = id;
    const answer = await page.api().snapshots();
    if (mine !== round || looking !== id) return;
    const found = answer.ok ? answer.data.snapshots.find((one) => one.id === id) : null;
    if (!found) return void drawNotices(el.notices, [{ key: 'source', tone: '-warn', title: 'This snapshot cannot be started from', detail: answer.ok ? 'It is not among your snapshots any more.' : troubleText(answer.problem, '').title }]);
    source = found;
    if (!input.repo_url.value && found.repo_url) prefill(found.repo_url, null);
    draw();
  };

  /** Without an answer there is nothing to choose from, and the newest backup is put back all the same. */
  const askKept = async () => {
    if (!isKeptDue || (options?.backups ?? 'none') === 'none') return;
    isKeptDue = false;
    const asked = page.session();
    const answer = await page.api().workspaces();
    if (asked !== page.session()) return;
    backups = answer.ok ? answer.data.workspaces : [];
    draw();
  };

  readRepo();
  return {
    /** @param {import('./create-logic.js').Options} fresh */
    takeOptions(fresh) {
      options = fresh;
      size ??= fresh.defaults.size ?? 'medium';
      draw();
      askKept();
      drawNotice(null);
    },
    /** The choices could not be loaded. @param {{title: string, detail: string}} trouble */
    setTrouble(trouble) {
      if (!options) drawNotice({ title: `Nothing can be created now. ${trouble.title}.`, detail: trouble.detail });
    },
    /** @param {{repo: string|null, branch: string|null, snapshot: string|null}} about */
    enter(about) {
      const { repo, branch, snapshot } = about;
      isLeft = false;
      if (isUsed && isOther(about)) reset();
      isUsed = true;
      if (source && source.id !== snapshot) source = null;
      if (options) drawNotice(null);
      prefill(repo, branch);
      draw();
      isKeptDue = true;
      askKept();
      input.repo_url.focus();
      looking = null;
      if (snapshot && source?.id !== snapshot) startFrom(snapshot);
    },
    /** What was typed stays for who comes back; secrets do not, unless they are under way. */
    leave() {
      isLeft = true;
      if (!busy) held.forget();
    },
    reset,
  };
}
