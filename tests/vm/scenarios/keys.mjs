// Claude Code with an OAuth token, and with nothing at all: it works, or asks for a login in the terminal.
import { KEYS } from '../lab/lab.mjs';
import { newPage, shellPrompt, terminalText, type } from '../lab/look.mjs';

export const minutes = 10;

export default async function keys(lab) {
  const { assert, anthropic, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const browser = await lab.browser();
  const terminal = async (body) => {
    const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', ...body });
    await lab.ready(id);
    const page = await newPage(browser);
    await page.goto((await lab.api('POST', `/vms/${id}/open`)).body.url);
    await page.waitForURL((url) => url.pathname.startsWith('/terminal/'));
    await shellPrompt(page, guest);
    return { id, page };
  };
  const shows = (page, what) => until(`the terminal shows ${what}`, async () => what.test(await terminalText(page)), { timeoutMs: 60_000 });

  await lab.step('an OAuth token: an interactive session answers without a question', async () => {
    anthropic.say('The lab greets you.');
    const { id, page } = await terminal({ claude_code_oauth_token: KEYS.oauth });
    await type(page, 'claude');
    await shows(page, /auto mode|for shortcuts/);
    await type(page, 'hello from the lab');
    await shows(page, /The lab greets you/);
    const asked = anthropic.requests.filter((it) => it.prompt.includes('hello from the lab'));
    assert.ok(asked.length > 0 && asked.every((it) => it.key === 1), 'with the token');
    await lab.shoot(page, 'claude');
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });

  await lab.step('no key at all: it asks for a login', async () => {
    const { id, page } = await terminal({});
    await type(page, 'claude');
    await shows(page, /Choose the text style/);
    await page.keyboard.press('Enter');
    await shows(page, /Select login method/);
    await lab.shoot(page, 'claude-login');
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });
}
