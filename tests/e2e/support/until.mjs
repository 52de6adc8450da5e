// Waiting for something to become true, with an end. What that something is, each test says itself.

/**
 * Polls until the check gives something truthy, and resolves to it. An error inside the check counts as "not yet"; it
 * is the reason that is given when the time is up. An error of the class `fatal` ends the waiting.
 */
export async function until(what, check, { timeoutMs = 30_000, everyMs = 50, fatal } = {}) {
  let reason;
  for (const end = Date.now() + timeoutMs; Date.now() < end; await new Promise((go) => setTimeout(go, everyMs))) {
    try {
      const result = await check();
      if (result) return result;
      reason = undefined;
    } catch (error) {
      if (fatal && error instanceof fatal) throw error;
      reason = error;
    }
  }
  throw new Error(`not within ${timeoutMs / 1000} s: ${what}`, { cause: reason });
}
