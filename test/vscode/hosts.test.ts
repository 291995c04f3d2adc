/** A machine that is in no configuration: added by its address, with a password. */
import { execFileSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Account, accountsMissing, makeAccount } from '../support/ssh/sshClient';
import { type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';
import { chapters } from '../support/vscode/chapters';
import { registry, registryMissing } from '../support/vscode/registry';
import { VsCode, vsCodeMissing } from '../support/vscode/vsCode';
import type { Window } from '../support/vscode/window';

const missing = vsCodeMissing ?? sshdMissing ?? accountsMissing ?? (await registryMissing());

describe.skipIf(missing)(`a host added by hand${missing ? ` (${missing})` : ''}`, () => {
  let account: Account;
  let sshd: Sshd;
  let code: VsCode;
  let window: Window;
  chapters(() => (window ? { code, window } : undefined));

  beforeAll(async () => {
    account = makeAccount();
    sshd = await startSshd({ config: ['PasswordAuthentication yes'] });
    const id = (flag: string) => Number(execFileSync('id', [flag, account.name]));
    chownSync(sshd.home, id('-u'), id('-g'));
    code = await VsCode.start({ settings: { 'tuneyard.npmRegistry': registry }, folders: [sshd.home] });
    window = await code.open();
    await window.showSidebar();
  });
  afterAll(async () => {
    await code?.close();
    await sshd?.dispose();
    account?.dispose();
  });

  const host = () => window.rowOf('Hosts', /^127\.0\.0\.1/);

  it('is trusted by its fingerprint and let in by its password, which is kept when that is asked for', async () => {
    await window.command('Tuneyard: Add Host');
    await window.type(`ssh -p ${sshd.port} ${account.name}@127.0.0.1`);
    const question = window.dialog('is not known yet');
    await question.waitFor();
    expect(await question.innerText()).toContain(sshd.hostKey('ed25519').fingerprint);
    await window.screenshots('trust');
    await question.getByRole('button', { name: 'Trust and connect' }).click();
    await window.question(`Password of ${account.name}`).waitFor();
    await window.page.locator('.quick-input-widget .codicon-save').click();
    await window.page.locator('.quick-input-widget').getByText('It will be kept').waitFor();
    await window.screenshots('password');
    await window.type(account.password);
    await window.appears(window.rowOf('Hosts', /^127\.0\.0\.1.*cores/), 180_000);
  });

  it('is connected to again without a question', async () => {
    await window.menu(host(), 'Disconnect from Host');
    await window.rowOf('Hosts', /^127\.0\.0\.1(?!.*cores)/).waitFor();
    await window.act(host(), 'Connect to Host');
    await window.appears(window.rowOf('Hosts', /^127\.0\.0\.1.*cores/), 60_000);
  });

  it('is gone when it is removed', async () => {
    await window.menu(host(), 'Remove Host');
    await host().waitFor({ state: 'detached' });
    await window.row('This machine').waitFor();
  });
});
