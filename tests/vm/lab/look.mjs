// What scenarios look at from outside a VM, as a person or a stranger would: its ports, its door in a browser, its
// terminal. Asserts nothing.
import net from 'node:net';
import { spawnSync } from 'node:child_process';
import { until } from '../../e2e/support/until.mjs';

/** The TCP ports of an address that accept a connection, out of all 65,535. */
export async function openPorts(address) {
  const open = [];
  let next = 1;
  const worker = async () => {
    while (next <= 65_535) {
      const port = next++;
      if (await accepts(address, port)) open.push(port);
    }
  };
  await Promise.all(Array.from({ length: 8000 }, worker));
  return open.sort((a, b) => a - b);
}

/** Whether a port accepts a connection within a second. */
export function accepts(address, port, timeout = 1000) {
  return new Promise((done) => {
    const socket = net.connect({ host: address, port, timeout });
    const end = (result) => {
      socket.destroy();
      done(result);
    };
    socket.once('connect', () => end(true)).once('timeout', () => end(false)).once('error', () => end(false));
  });
}

/** A page whose context takes the door's certificate as it is; tests that are about certificates look at them themselves. */
export async function newPage(browser, { trust = false } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: !trust, viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  return page;
}

/** What ttyd's terminal shows, line by line. */
export function terminalText(page) {
  return page.evaluate(() => {
    const { active } = globalThis.term.buffer;
    return Array.from({ length: active.length }, (_, line) => active.getLine(line)?.translateToString(true) ?? '').join('\n').trim();
  });
}

/** What the guest's side of the terminal did. */
const TERMINAL_STATE = 'journalctl -q --no-pager -n 60 -u mayfly-terminal; journalctl -q --no-pager -n 20 -t sudo; ps -eo pid,ppid,pgid,etimes,stat,wchan:20,args --forest | tail -n 60';

/** Waits for a shell's prompt. Where none comes it says what is there instead, and loads the page anew, once, as people do. */
export async function shellPrompt(page, guest, isLast = false) {
  try {
    await until('a prompt', async () => /[$#] ?$/m.test(await terminalText(page)), { timeoutMs: 30_000 });
  } catch (error) {
    const shown = await terminalText(page).catch((it) => it.message);
    const around = await page.locator('body').innerText().catch((it) => it.message);
    const told = `${error.message}; the terminal shows: ${shown}\nthe page: ${around}`;
    const inside = await guest.run(TERMINAL_STATE).then((it) => it.out, (it) => it.message);
    process.stdout.write(`    ${told}\n${inside}\n`);
    if (isLast) throw error;
    await page.reload();
    await shellPrompt(page, guest, true);
  }
}

/** Types a line into ttyd's terminal. */
export async function type(page, line) {
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type(line, { delay: 15 });
  await page.keyboard.press('Enter');
}

/** The certificate that a stranger is shown: openssl's words, verified against the given roots. */
export function certificate(address, caFile) {
  const args = ['s_client', '-connect', `${address}:443`, '-verify_ip', address, '-CAfile', caFile];
  const done = spawnSync('openssl', args, { encoding: 'utf8', input: '', timeout: 10_000 });
  return { verified: /Verify return code: 0 \(ok\)/.test(done.stdout), text: done.stdout };
}
