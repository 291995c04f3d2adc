/** Credentials are found where Google's own tools put them, and go nowhere but to Google. */
import { createPublicKey, createVerify, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type GceOptions, gceProvider } from '@host/cloud/gce/gceProvider';
import { TuneyardError } from '@protocol/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SECRET = 'GOCSPX-do-not-tell';
const LOGIN = 'gcloud auth application-default login';

let home: string;
let google: Server;
let endpoint: string;
/** What the token's address is asked, and what it answers. */
let asked: URLSearchParams[];
let token: { status: number; body: unknown };
let authorizations: (string | undefined)[];
/** An Authorization that is good no more. */
let stale: string | undefined;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'tuneyard-credentials-'));
  asked = [];
  authorizations = [];
  stale = undefined;
  token = { status: 200, body: { access_token: 'ya29.token', expires_in: 3600, token_type: 'Bearer' } };
  google = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.url === '/token') {
      asked.push(new URLSearchParams(body));
      response.writeHead(token.status, { 'content-type': 'application/json' }).end(JSON.stringify(token.body));
    } else if (authorizations.push(request.headers.authorization) && request.headers.authorization === stale) {
      const error = { code: 401, message: 'Invalid Credentials', errors: [{ reason: 'authError' }] };
      response.writeHead(401, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
    } else {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ name: 'p' }));
    }
  });
  await new Promise<void>((resolve) => google.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(google.address() as AddressInfo).port}`;
});

afterEach(() => {
  google.close();
  google.closeAllConnections();
  rmSync(home, { recursive: true, force: true });
});

function file(path: string, content: unknown): string {
  const full = join(home, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, typeof content === 'string' ? content : JSON.stringify(content));
  return full;
}

const user = (more: object = {}) => ({
  ...{ type: 'authorized_user', client_id: 'id', client_secret: SECRET, refresh_token: SECRET },
  ...{ token_uri: `${endpoint}/token`, ...more },
});

const lines: string[] = [];
const provider = (env: NodeJS.ProcessEnv = {}, more: GceOptions = {}) =>
  gceProvider({ endpoint, env: { HOME: home, ...env }, firstPause: 1, log: (line) => lines.push(line), ...more });

async function refused(options?: Parameters<typeof provider>): Promise<TuneyardError> {
  const error: unknown = await provider(...(options ?? []))
    .identity()
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TuneyardError);
  expect((error as TuneyardError).code).toBe('cloud_credentials');
  return error as TuneyardError;
}

describe('credentials are found', () => {
  it('where gcloud puts them, with the project and account of its active configuration', async () => {
    file('.config/gcloud/application_default_credentials.json', user());
    file('.config/gcloud/active_config', 'work');
    file(
      '.config/gcloud/configurations/config_work',
      '[core]\naccount = ada@example.com\nproject = looms\n[compute]\nzone = z\n',
    );
    file('.config/gcloud/configurations/config_default', '[core]\nproject = other\n');
    expect(await provider().identity()).toMatchObject({
      provider: 'gce',
      account: 'ada@example.com',
      project: 'looms',
    });
    expect(asked).toHaveLength(1);
  });

  it('in the file that the environment names, before that', async () => {
    file('.config/gcloud/application_default_credentials.json', user({ account: 'wrong@example.com' }));
    const named = file('key.json', user({ account: 'right@example.com', quota_project_id: 'q' }));
    const found = await provider({ GOOGLE_APPLICATION_CREDENTIALS: named }).identity();
    expect(found).toMatchObject({ account: 'right@example.com', project: 'q' });
    expect(found.source).toContain('GOOGLE_APPLICATION_CREDENTIALS');
  });

  it('in the file that was chosen, before all', async () => {
    const named = file('key.json', user({ account: 'wrong@example.com' }));
    const chosen = file('chosen.json', user({ account: 'chosen@example.com' }));
    const env = { GOOGLE_APPLICATION_CREDENTIALS: named, CLOUDSDK_CORE_PROJECT: 'from-env' };
    const found = await provider(env, { credentialsFile: chosen }).identity();
    expect(found).toMatchObject({ account: 'chosen@example.com', project: 'from-env' });
  });

  it("and a service account's key signs what its token is asked with", async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const key = {
      type: 'service_account',
      client_email: 'robot@p.iam.gserviceaccount.com',
      private_key: pem,
      project_id: 'p',
    };
    const chosen = file('robot.json', { ...key, private_key_id: 'k1', token_uri: `${endpoint}/token` });
    const gce = provider({}, { credentialsFile: chosen });
    expect(await gce.identity()).toMatchObject({ account: 'robot@p.iam.gserviceaccount.com', project: 'p' });
    await gce.project('p');
    expect(authorizations).toEqual(['Bearer ya29.token']);

    const [head, claims, signature] = asked[0]!.get('assertion')!.split('.');
    const verify = createVerify('RSA-SHA256').update(`${head}.${claims}`);
    const signed = verify.verify(
      createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })),
      signature!,
      'base64url',
    );
    expect(signed).toBe(true);
    expect(JSON.parse(Buffer.from(claims!, 'base64url').toString()).iss).toBe('robot@p.iam.gserviceaccount.com');
  });
});

describe('what is missing is told with the command that mends it', () => {
  it('where there are no credentials', async () => {
    const error = await refused();
    expect(error.message).toContain(LOGIN);
    expect(error.data).toEqual({ reason: 'missing', command: LOGIN });
  });

  it.each([
    ['is not there', undefined],
    ['is not JSON', `{"client_secret": "${SECRET}`],
    ['is of something else', { client_secret: SECRET }],
    ['lacks a part', { type: 'authorized_user', client_id: 'id', client_secret: SECRET }],
  ])('where the file %s', async (_, content) => {
    const path = content === undefined ? join(home, 'none.json') : file('bad.json', content);
    const error = await refused([{ GOOGLE_APPLICATION_CREDENTIALS: path }]);
    expect(error.message).toContain(path);
    expect(error.message).toContain(LOGIN);
    expect(JSON.stringify(error) + error.stack + String(error.cause)).not.toContain(SECRET);
  });

  it.each([
    ['has expired', { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' }],
    [
      'needs a new log-in',
      { error: 'invalid_grant', error_subtype: 'invalid_rapt', error_description: 'reauth related error' },
    ],
    ['is of an account that is gone', { error: 'invalid_grant', error_description: 'Account has been deleted' }],
  ])('where the log-in %s, at the first request and at each', async (_, body) => {
    token = { status: 400, body };
    const chosen = file('key.json', user());
    const error = await refused([{}, { credentialsFile: chosen }]);
    expect(error.message).toContain(LOGIN);
    expect(error.data.reason).toBe('expired');
    expect(asked).toHaveLength(1);
    await expect(provider({}, { credentialsFile: chosen }).project('p')).rejects.toMatchObject({
      code: 'cloud_credentials',
    });
  });

  it.each(['authorized_user', 'service_account'])(
    'and a token that ends before its time is renewed: %s',
    async (type) => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
      const robot = { type, client_email: 'robot@p.iam.gserviceaccount.com', private_key: pem };
      const gce = provider({}, { credentialsFile: file('key.json', user(type === 'service_account' ? robot : {})) });
      await gce.project('p');
      stale = 'Bearer ya29.token';
      token = { status: 200, body: { access_token: 'ya29.next', expires_in: 3600 } };
      await gce.project('p');
      expect(authorizations).toEqual(['Bearer ya29.token', 'Bearer ya29.token', 'Bearer ya29.next']);
      stale = 'Bearer ya29.next';
      await expect(gce.project('p')).rejects.toMatchObject({ code: 'cloud_credentials' });
      expect(authorizations).toHaveLength(5);
    },
  );

  it('and a new log-in is taken up without a new start', async () => {
    const chosen = file('key.json', user());
    token = { status: 400, body: { error: 'invalid_grant' } };
    const gce = provider({}, { credentialsFile: chosen });
    await expect(gce.project('p')).rejects.toMatchObject({ code: 'cloud_credentials' });
    token = { status: 200, body: { access_token: 'ya29.new', expires_in: 3600 } };
    file('key.json', user({ refresh_token: 'another' }));
    await gce.project('p');
    expect(authorizations).toEqual(['Bearer ya29.new']);
    expect(asked.at(-1)!.get('refresh_token')).toBe('another');
  });

  it('where no project is known', async () => {
    const chosen = file('key.json', user());
    await expect(provider({}, { credentialsFile: chosen }).project('')).rejects.toMatchObject({
      code: 'cloud_credentials',
      message: expect.stringContaining('gcloud config set project'),
    });
  });
});

describe('a token', () => {
  it('is sent to no address that others can read', async () => {
    const chosen = file('key.json', user());
    for (const bad of ['http://compute.example.com', 'ftp://127.0.0.1', 'compute']) {
      const gce = provider({}, { credentialsFile: chosen, endpoint: bad });
      await expect(gce.project('p')).rejects.toMatchObject({ code: 'cloud_invalid', data: { reason: 'endpoint' } });
    }
    expect(asked).toEqual([]);
  });

  it('and its secrets are in no log', async () => {
    token = { status: 503, body: { error: SECRET } };
    const chosen = file('key.json', user());
    await expect(provider({}, { credentialsFile: chosen }).project('p')).rejects.toMatchObject({
      code: 'cloud_failed',
    });
    token = { status: 200, body: { access_token: 'ya29.token', expires_in: 3600 } };
    await provider({}, { credentialsFile: chosen }).project('p');
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toMatch(new RegExp(`${SECRET}|ya29`));
  });
});
