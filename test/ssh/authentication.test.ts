/** Logging in, on a real sshd, with everything that people log in with. */
import { generateKeyPairSync } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Account,
  type Agent,
  accountsMissing,
  hostOf,
  makeAccount,
  type Person,
  person,
  startAgent,
} from '../support/ssh/sshClient';
import { type KeyType, makeKey, type Sshd, sshdMissing, startSshd } from '../support/ssh/sshd';

const hi = async (config: string, prompts: Person = person()) => {
  await using host = hostOf(config, { dir: sshd.dir, prompts });
  return (await host.exec(['echo', 'hi'])).stdout;
};

let sshd: Sshd;

describe.skipIf(sshdMissing)(`logging in with a key${sshdMissing ? ` (${sshdMissing})` : ''}`, () => {
  let agent: Agent;

  beforeAll(async () => {
    sshd = await startSshd();
    agent = await startAgent(sshd.dir);
  });
  afterAll(async () => {
    await agent?.dispose();
    await sshd?.dispose();
  });

  /** A block in front of the helper's own, whose key the server does not know. */
  const withKey = (key: string, ...lines: string[]) =>
    sshd.sshConfig('box', [...lines, `IdentityFile ${key}`]).replace(`  IdentityFile ${sshd.clientKey}\n`, '');

  const kinds: [KeyType, 'OpenSSH' | 'PEM' | 'PKCS8'][] = [
    ['ed25519', 'OpenSSH'],
    ['rsa', 'OpenSSH'],
    ['ecdsa', 'OpenSSH'],
    ['rsa', 'PEM'],
    ['ecdsa', 'PEM'],
    ['rsa', 'PKCS8'],
    ['ecdsa', 'PKCS8'],
  ];
  it.each(kinds)('an %s key in the %s format opens the host, with a passphrase and without', async (type, format) => {
    const open = join(sshd.dir, `${type}-${format}`);
    const locked = `${open}-locked`;
    await sshd.authorize(await makeKey(open, type, { format }));
    await sshd.authorize(await makeKey(locked, type, { format, passphrase: 'open sesame' }));

    const nobody = person();
    expect(await hi(withKey(open), nobody)).toBe('hi\n');
    expect(nobody.asked).toEqual([]);

    const one = person({ passphrase: ['wrong', 'open sesame'] });
    expect(await hi(withKey(locked), one)).toBe('hi\n');
    const ask = { question: 'passphrase', host: 'box', keyFile: locked };
    expect(one.asked).toEqual([
      { ...ask, retry: false },
      { ...ask, retry: true },
    ]);
  });

  it('an ed25519 key that other tools wrote as PKCS#8 opens the host', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const point = Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url');
    const field = (data: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, data.length]), data]);
    const blob = Buffer.concat([field(Buffer.from('ssh-ed25519')), field(point)]).toString('base64');
    await sshd.authorize(`ssh-ed25519 ${blob}`);
    const file = join(sshd.dir, 'pkcs8');
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    expect(await hi(withKey(file))).toBe('hi\n');
  });

  it('a locked key without its public half still opens the host', async () => {
    for (const format of ['OpenSSH', 'PEM'] as const) {
      const key = join(sshd.dir, `alone-${format}`);
      await sshd.authorize(await makeKey(key, 'rsa', { format, passphrase: 'open sesame' }));
      await rm(`${key}.pub`);
      expect(await hi(withKey(key), person({ passphrase: ['open sesame'] }))).toBe('hi\n');
    }
  });

  it('a passphrase is asked for only where the server takes the key', async () => {
    const stranger = join(sshd.dir, 'stranger');
    await makeKey(stranger, 'ed25519', { passphrase: 'secret' });
    const one = person();
    expect(await hi(sshd.sshConfig('box', [`IdentityFile ${stranger}`]), one)).toBe('hi\n');
    expect(one.asked).toEqual([]);
  });

  it('a passphrase is asked for three times, then the next key has its turn', async () => {
    const locked = join(sshd.dir, 'thrice');
    await sshd.authorize(await makeKey(locked, 'ed25519', { passphrase: 'right' }));
    const one = person({ passphrase: ['a', 'b', 'c', 'right'] });
    expect(await hi(sshd.sshConfig('box', [`IdentityFile ${locked}`]), one)).toBe('hi\n');
    expect(one.asked.map(({ retry }) => retry)).toEqual([false, true, true]);
  });

  it('whoever closes the question is not asked on, and nothing counts as failed', async () => {
    const locked = join(sshd.dir, 'closed');
    await sshd.authorize(await makeKey(locked, 'ed25519', { passphrase: 'right' }));
    const one = person();
    await using host = hostOf(withKey(locked), { dir: sshd.dir, prompts: one });
    await expect(host.connect()).rejects.toMatchObject({ code: 'cancelled' });
    expect(one.asked).toHaveLength(1);
    expect(host.state).toEqual({ kind: 'disconnected' });
  });

  it('a passphrase is not asked for again when the connection comes back', async () => {
    const locked = join(sshd.dir, 'kept');
    await sshd.authorize(await makeKey(locked, 'ed25519', { passphrase: 'right' }));
    const one = person({ passphrase: ['right'] });
    await using host = hostOf(withKey(locked), { dir: sshd.dir, prompts: one });
    await host.connect();
    await host.disconnect();
    expect((await host.exec(['echo', 'back'])).stdout).toBe('back\n');
    expect(one.asked).toHaveLength(1);
  });

  it("the agent's keys open the host, also one that the configuration names by its public half", async () => {
    const key = join(sshd.dir, 'held');
    await sshd.authorize(await makeKey(key, 'rsa'));
    agent.add(key);
    await rm(key);
    const lines = ['IdentitiesOnly no', `IdentityAgent ${agent.socket}`];
    expect(await hi(withKey(join(sshd.dir, 'nothing'), ...lines))).toBe('hi\n');
    expect(await hi(withKey(`${key}.pub`, 'IdentitiesOnly yes', `IdentityAgent ${agent.socket}`))).toBe('hi\n');
    expect(await hi(withKey(key, 'IdentitiesOnly yes', `IdentityAgent ${agent.socket}`))).toBe('hi\n');
  });

  it('IdentitiesOnly keeps the other keys of the agent at home', async () => {
    const key = join(sshd.dir, 'private');
    await sshd.authorize(await makeKey(key, 'ed25519'));
    agent.add(key);
    const config = withKey(join(sshd.dir, 'nothing'), 'IdentitiesOnly yes', `IdentityAgent ${agent.socket}`);
    await expect(hi(config)).rejects.toMatchObject({ code: 'auth_failed', data: { tried: [] } });
  });

  it('an agent that is gone does not keep a key file from being used', async () => {
    expect(await hi(sshd.sshConfig('box', ['IdentitiesOnly no', 'IdentityAgent /nonexistent/agent']))).toBe('hi\n');
  });

  it('who is not let in is told with what was tried, and no secret', async () => {
    const stranger = join(sshd.dir, 'unknown');
    await makeKey(stranger, 'ed25519');
    await using host = hostOf(withKey(stranger), { dir: sshd.dir });
    const error = await host.connect().catch((each) => each);
    expect(error).toMatchObject({ code: 'auth_failed', data: { tried: [stranger], methods: ['publickey'] } });
    expect(host.state).toMatchObject({ kind: 'failed', code: 'auth_failed' });
    expect(JSON.stringify(error)).not.toContain((await readFile(stranger, 'utf8')).split('\n')[2]);
  });

  it('too many keys for the server end in a sentence, not in a lost connection', async () => {
    const keys = ['1', '2', '3', '4', '5', '6', '7'].map((each) => join(sshd.dir, `many-${each}`));
    for (const key of keys) await makeKey(key, 'ed25519');
    const config = sshd.sshConfig(
      'box',
      keys.map((key) => `IdentityFile ${key}`),
    );
    await expect(hi(config)).rejects.toMatchObject({
      code: 'auth_failed',
      message: expect.stringContaining('Too many authentication failures'),
    });
  });
});

const missing = sshdMissing ?? accountsMissing;
describe.skipIf(missing)(`logging in with what a person types${missing ? ` (${missing})` : ''}`, () => {
  let account: Account;
  const login = (...lines: string[]) => sshd.sshConfig('box', [`User ${account.name}`, ...lines]);
  const NO_KEYS = 'PubkeyAuthentication no';

  beforeAll(() => {
    account = makeAccount();
  });
  afterAll(() => account?.dispose());

  describe('a password', () => {
    beforeAll(async () => {
      sshd = await startSshd({ config: ['PasswordAuthentication yes'] });
    });
    afterAll(() => sshd?.dispose());

    it('opens the host, also at the third attempt', async () => {
      const one = person({ password: ['a', 'b', account.password] });
      expect(await hi(login(NO_KEYS), one)).toBe('hi\n');
      const ask = { question: 'password', host: 'box', user: account.name };
      expect(one.asked).toEqual([
        { ...ask, retry: false },
        { ...ask, retry: true },
        { ...ask, retry: true },
      ]);
    });

    it('is asked for three times at most, and stands in no error', async () => {
      const one = person({ password: ['wrong-1', 'wrong-2', 'wrong-3', account.password] });
      const error = await hi(login(NO_KEYS), one).catch((each) => each);
      expect(error).toMatchObject({
        code: 'auth_failed',
        data: { tried: ['password'], methods: ['publickey', 'password'] },
      });
      expect(one.asked).toHaveLength(3);
      expect(`${error.stack}${JSON.stringify(error)}`).not.toContain('wrong-');
    });

    it('is typed once: a connection that comes back asks for nothing', async () => {
      const one = person({ password: [account.password] });
      await using host = hostOf(login(NO_KEYS), { dir: sshd.dir, prompts: one });
      await host.connect();
      sshd.dropConnections();
      await expect.poll(() => host.state.kind).toBe('disconnected');
      expect((await host.exec(['echo', 'back'])).stdout).toBe('back\n');
      expect(one.asked).toHaveLength(1);
    });

    it('gives up at once when the question is closed', async () => {
      const one = person();
      await expect(hi(login(NO_KEYS), one)).rejects.toMatchObject({ code: 'cancelled' });
      expect(one.asked).toHaveLength(1);
    });
  });

  it('a server that wants a key and a password gets both, from files and from an agent', async () => {
    await using server = await startSshd({
      config: ['PasswordAuthentication yes', 'AuthenticationMethods publickey,password'],
    });
    sshd = server;
    const agent = await startAgent(server.dir);
    try {
      expect(await hi(login(), person({ password: [account.password] }))).toBe('hi\n');
      agent.add(server.clientKey);
      const held = login(`IdentityAgent ${agent.socket}`, 'IdentitiesOnly no');
      const one = person({ password: ['wrong', account.password] });
      expect(await hi(held, one)).toBe('hi\n');
      expect(one.asked.map(({ question }) => question)).toEqual(['password', 'password']);
    } finally {
      await agent.dispose();
    }
  });

  it('a server that wants the password before the key gets both', async () => {
    await using server = await startSshd({
      config: ['PasswordAuthentication yes', 'AuthenticationMethods password,publickey'],
    });
    sshd = server;
    expect(await hi(login(), person({ password: [account.password] }))).toBe('hi\n');
  });

  it('keyboard-interactive shows the questions of the server and opens the host', async () => {
    await using server = await startSshd({ config: ['UsePAM yes', 'KbdInteractiveAuthentication yes'] });
    sshd = server;
    const one = person({ answers: [['wrong'], [account.password]] });
    await using host = hostOf(login(NO_KEYS), { dir: server.dir, prompts: one });
    await host.connect();
    const prompts = [{ text: expect.stringMatching(/password/i), echo: false }];
    expect(one.asked).toMatchObject([
      { question: 'answers', host: 'box', prompts },
      { question: 'answers', host: 'box', prompts },
    ]);
    // And not again after a drop
    server.dropConnections();
    await expect.poll(() => host.state.kind).toBe('disconnected');
    expect((await host.exec(['echo', 'back'])).stdout).toBe('back\n');
    expect(one.asked).toHaveLength(2);
  });
});
