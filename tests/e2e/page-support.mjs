/**
 * What the page's tests share: Chromium, contexts for each look, signing in, axe, screenshots.
 * Which stories are told is page.test.mjs's business.
 */

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startStub } from './page-stub.mjs';

export const ARTIFACTS = fileURLToPath(new URL('../artifacts/', import.meta.url));
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export const LOOKS = [
  { name: 'desktop-light', viewport: { width: 1280, height: 860 }, colorScheme: 'light' },
  { name: 'desktop-dark', viewport: { width: 1280, height: 860 }, colorScheme: 'dark' },
  { name: 'phone-light', viewport: { width: 320, height: 720 }, colorScheme: 'light' },
  { name: 'phone-dark', viewport: { width: 320, height: 720 }, colorScheme: 'dark' },
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
}

/**
 * A page that fails its test when it breaks its own rules: an uncaught error, a complaint on the console
 * (a CSP violation is one), a request to anywhere but the given origins.
 */
export async function openPage(browser, { look = LOOKS[0], origins, expectConsole = [] }) {
  const context = await browser.newContext({ ...look, name: undefined, reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'] });
  const page = await context.newPage();
  page.setDefaultTimeout(8000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    const expected = expectConsole.some((pattern) => pattern.test(text));
    if (['error', 'warning'].includes(message.type()) && !expected) complaints.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'data:' && protocol !== 'about:' && !origins.includes(origin)) complaints.push(`third party: ${request.url()}`);
  });
  return { page, context, complaints, origins, finish: async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  } };
}

/** Chromium logs every answer of 400 and above; tests that want one say so. */
export const FAILED_REQUEST = /Failed to load resource/;

/** @param {import('playwright-core').Page} page */
export async function signIn(page, pageUrl, token, { apiUrl = '', hash = '' } = {}) {
  await page.goto(`${pageUrl}/${hash}`);
  await page.getByLabel('API token').fill(token);
  if (apiUrl) await page.getByLabel('API address').fill(apiUrl);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: hash.startsWith('#new') ? 'New workspace' : 'Workspaces' }).waitFor();
}

/** Nothing that axe can find, and nothing that has to be scrolled sideways to. */
export async function assertAccessible(page, what) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const lines = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
  assert.deepEqual(lines, [], `axe on ${what}`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${what} is wider than its window`);
}

/** @param {import('playwright-core').Page} page */
export async function shoot(page, name, { fullPage = true } = {}) {
  await mkdir(ARTIFACTS, { recursive: true });
  await page.evaluate(() => globalThis.scrollTo(0, 0));
  await page.screenshot({ path: `${ARTIFACTS}page-${name}.png`, fullPage });
}

/** One Chromium for a file's stories; each story has a fresh stub and a fresh, watched page. */
export function stories() {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    console.log(`# screenshots: ${ARTIFACTS}`);
  });
  return (name, options, tell) => test(name, { timeout: options.timeout ?? 90_000 }, async () => {
    const stub = await startStub({ port: options.port });
    try {
      const opened = await openPage(browser, { look: options.look, origins: [stub.url, ...(options.origins ?? [])], expectConsole: options.expectConsole });
      try {
        await tell({ stub, ...opened });
      } catch (error) {
        await shoot(opened.page, 'last-failure').catch(() => {});
        await opened.context.close();
        throw error;
      }
      await opened.finish();
    } finally {
      await stub.stop();
    }
  });
}

/** A workspace's row by its name. @param {import('playwright-core').Page} page */
export const row = (page, name) => page.locator('.vm').filter({ has: page.getByRole('heading', { name, exact: true }) });

/**
 * Some of the page's time, in steps that leave the list's answers room to arrive: the clock of a test also ends requests
 * that are under way, after as many of its seconds as the page gives them.
 */
export async function pass(page, ms) {
  for (let passed = 0; passed < ms; passed += 10_000) {
    await page.clock.runFor(Math.min(10_000, ms - passed));
    await page.waitForFunction(() => !document.querySelector('#view-list:not([hidden]) .live-dot.-asking'));
  }
}

/** As much of the page's time as makes it ask again. */
export const nextPoll = (page) => pass(page, 50_000);

export const asked = (stub, method, path) => stub.seen.filter((seen) => seen.method === method && seen.path === path).length;

/** For stories in which the API answers with problems. */
export const withErrors = { expectConsole: [FAILED_REQUEST] };
