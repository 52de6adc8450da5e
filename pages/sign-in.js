/**
 * The sign-in view: takes the API's address and the token, has them checked at once, and explains in full
 * what is wrong. Keeping them is app.js's and session.js's business.
 */

import { createApi } from './api.js';
import { parts, setAttribute, setLines, setText, show } from './dom.js';
import { plain } from './format.js';
import { apiAddress } from './logic.js';

const NO_TOKEN = 'Type the API token of your deployment.';

/**
 * @param {HTMLElement} view
 * @param {{defaultApi: string, onSimulation: (healthz: any) => void,
 *   onSignedIn: (session: import('./session.js').Session, mine: boolean, options: any) => void}} about
 */
export function mountSignIn(view, { defaultApi, onSimulation, onSignedIn }) {
  const el = parts(view);
  const token = view.querySelector('#token');
  const api = view.querySelector('#api');
  const mine = view.querySelector('#mine');
  let busy = false;
  let askedHealth = '';

  api.value = defaultApi;
  api.placeholder = window.location.origin;

  const setFieldError = (input, text) => {
    const error = view.querySelector(`#${input.id}-error`);
    setText(error, text);
    show(error, Boolean(text));
    setAttribute(input, 'aria-invalid', text ? 'true' : null);
  };

  const setProblem = (title, detail = '', list = []) => {
    show(el.problem, Boolean(title));
    setText(el.problemTitle, title);
    setText(el.problemDetail, detail);
    setLines(el.problemList, list);
    show(el.problemList, list.length > 0);
  };

  const setBusy = (on) => {
    busy = on;
    setAttribute(el.submit, 'aria-busy', on ? 'true' : null);
    setText(el.submitText, on ? 'Checking…' : 'Sign in');
  };

  /** Whether this API is a simulation is worth knowing before a token is typed. */
  const askHealth = async () => {
    const address = apiAddress(api.value, window.location.origin);
    if (!address.ok || address.url === askedHealth) return;
    askedHealth = address.url;
    const answer = await createApi(address.url).healthz();
    if (address.url !== askedHealth || view.hidden) return;
    onSimulation(answer.ok ? answer.data : null);
    show(el.accessHint, answer.ok && answer.data.access === true);
  };

  /** Without a token only Cloudflare Access can say who somebody is: where the API says so, or where Access lets nobody ask. */
  const mayBeAccess = async (url) => {
    const answer = await createApi(url).healthz();
    return answer.ok ? answer.data.access === true : answer.problem.code === 'unreachable';
  };

  const explain = (problem, url, typed) => {
    if (problem.status === 401 || problem.status === 403) {
      setFieldError(token, typed ? 'The API does not accept this token.' : NO_TOKEN);
      token.focus();
    } else if (problem.code === 'unreachable') {
      const detail = `Nothing answers at ${url}. Is the address right, and does the API allow this page (${window.location.origin}) in ALLOWED_ORIGINS?`;
      const access = typed ? '' : ' If it stands behind Cloudflare Access, open that address in another tab, sign in there, and try again.';
      setProblem('The API cannot be reached', detail + access);
    } else if (problem.code === 'timeout' || problem.code === 'offline') {
      setProblem(problem.code === 'offline' ? 'This device is offline' : 'The API does not answer', 'Try again in a moment.');
    } else {
      const list = (problem.errors ?? []).map((error) => `${plain(error.field)}: ${plain(error.detail)}`);
      const title = problem.code === 'misconfigured' ? 'The API is not configured completely' : `The API answered ${problem.status}`;
      setProblem(title, plain(problem.detail), list);
    }
  };

  const submit = async () => {
    if (busy) return;
    const address = apiAddress(api.value, window.location.origin);
    const typed = token.value.trim();
    setProblem('');
    setFieldError(api, address.ok ? '' : address.reason);
    setFieldError(token, '');
    if (!address.ok) {
      api.focus();
      return;
    }
    setBusy(true);
    const access = !typed && (await mayBeAccess(address.url));
    if (!typed && !access) {
      setBusy(false);
      setFieldError(token, NO_TOKEN);
      token.focus();
      return;
    }
    const answer = await createApi(address.url, typed, { access }).options();
    setBusy(false);
    if (!answer.ok) {
      explain(answer.problem, address.url, typed);
      return;
    }
    if (!Array.isArray(answer.data.providers)) {
      setProblem('This is not a Mayfly API', `What answers at ${address.url} is something else.`);
      return;
    }
    token.value = '';
    onSignedIn({ apiUrl: address.url, token: typed, ...(access && { access }) }, mine.checked, answer.data);
  };

  el.form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  api.addEventListener('change', askHealth);

  return {
    /** @param {{title: string, detail: string}|null} notice why one has to sign in again */
    enter(notice, apiUrl) {
      if (apiUrl && apiUrl !== window.location.origin) api.value = apiUrl;
      mine.checked = false;
      setFieldError(token, '');
      setFieldError(api, '');
      setProblem(notice?.title ?? '', notice?.detail ?? '');
      askedHealth = '';
      askHealth();
      token.focus();
    },
  };
}
