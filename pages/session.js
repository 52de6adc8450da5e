/**
 * Where the API's address and the token are kept: in this tab, or on this device if the user says it is
 * theirs. Nothing else is ever stored, but keys that the API has sealed (kept-keys.js). Also what tabs tell each other: that something changed, never what.
 */

const KEY = 'mayfly-session';

/** @typedef {{apiUrl: string, token: string, access?: boolean}} Session `access`: Cloudflare Access says who it is, without a token */

/** @returns {Session|null} */
export function loadSession() {
  for (const store of stores()) {
    try {
      const saved = JSON.parse(store.getItem(KEY) ?? 'null');
      if (typeof saved?.apiUrl === 'string' && typeof saved?.token === 'string' && (saved.token || saved.access === true)) {
        return { apiUrl: saved.apiUrl, token: saved.token, ...(!saved.token && { access: true }) };
      }
    } catch {
      // Somebody else's value under our key counts as none.
    }
  }
  return null;
}

/** @param {Session} session @param {boolean} thisDeviceIsMine */
export function saveSession(session, thisDeviceIsMine) {
  forgetSession();
  const [tab, device] = stores();
  try {
    (thisDeviceIsMine ? device : tab)?.setItem(KEY, JSON.stringify(session));
  } catch {
    // A full or forbidden store only means signing in again after a reload.
  }
}

export function forgetSession() {
  for (const store of stores()) store.removeItem(KEY);
}

/** Hears of it when another tab signs out of a kept session. @param {() => void} onForgotten */
export function watchForgotten(onForgotten) {
  window.addEventListener('storage', (event) => {
    if ((event.key === KEY || event.key === null) && event.newValue === null && !loadSession()) onForgotten();
  });
}

const CHANNEL = 'mayfly-changed';
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(CHANNEL) : null;

/** Another tab asks again at once, instead of at its next poll. */
export function tellOtherTabs() {
  channel?.postMessage('changed');
}

/** @param {() => void} onChanged */
export function watchOtherTabs(onChanged) {
  channel?.addEventListener('message', onChanged);
}

/** @returns {Storage[]} the tab's first; none where the browser forbids them */
function stores() {
  try {
    return [window.sessionStorage, window.localStorage];
  } catch {
    return [];
  }
}
