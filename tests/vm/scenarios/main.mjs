// The whole story with CloudCLI, from an image that has everything: create, boot, prompts, leave, idle, gone.
import { story } from '../lab/story.mjs';

export const minutes = 12;

export default (lab) => story(lab, { webUi: 'cloudcli', idleMinutes: 2, prompt });

/** The workspace is the one project; its chat is ready without a question. */
export async function prompt(page, text) {
  await page.getByText('/workspaces/shop').first().click();
  const box = page.getByPlaceholder(/ask Claude anything/);
  await box.fill(text);
  await box.press('Enter');
  await page.getByText('The meaning is in the lab.').waitFor({ timeout: 60_000 });
}
