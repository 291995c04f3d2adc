/** Google's token endpoint: refresh tokens of people and signed requests of service accounts become access tokens. */
import { createVerify, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StandInClock } from './clock';

export type CredentialKind = 'authorized_user' | 'service_account';

const CLIENT = { client_id: '764086051850-stand-in.apps.googleusercontent.com', client_secret: 'stand-in-secret' };
const AUDIENCE = 'https://oauth2.googleapis.com/token';
const LIFE_S = 3599;

export class Tokens {
  readonly #refreshTokens = new Map<string, string>();
  readonly #keys = new Map<string, KeyObject>();
  readonly #access = new Map<string, { account: string; until: number }>();
  /** How many were given out. */
  given = 0;

  constructor(private readonly clock: StandInClock) {}

  /** A file as gcloud writes it. */
  async credentialsFile(kind: CredentialKind, dir: string, project: string, tokenUri: string): Promise<string> {
    const file = join(dir, `${kind}-${randomBytes(4).toString('hex')}.json`);
    const account = kind === 'service_account' ? `robot@${project}.iam.gserviceaccount.com` : 'person@example.com';
    const write = (content: object) => writeFile(file, JSON.stringify(content, null, 2), { mode: 0o600 });
    if (kind === 'authorized_user') {
      const refreshToken = `1//${randomBytes(24).toString('base64url')}`;
      this.#refreshTokens.set(refreshToken, account);
      await write({
        type: kind,
        ...CLIENT,
        refresh_token: refreshToken,
        account,
        quota_project_id: project,
        token_uri: tokenUri,
      });
    } else {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      this.#keys.set(account, publicKey);
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      await write({
        type: kind,
        project_id: project,
        client_email: account,
        private_key_id: 'k1',
        private_key: pem,
        token_uri: tokenUri,
      });
    }
    return file;
  }

  /** Nobody gets a token for what was given out so far, and no token is good any more. */
  revoke(): void {
    this.#refreshTokens.clear();
    this.#keys.clear();
    this.#access.clear();
  }

  newToken(account: string): { access_token: string; expires_in: number } {
    const token = `ya29.${randomBytes(24).toString('base64url')}`;
    this.#access.set(token, { account, until: this.clock.now() + LIFE_S * 1000 });
    this.given++;
    return { access_token: token, expires_in: LIFE_S };
  }

  /** Whose token it is; undefined where it is not one, or has expired. */
  accountOf(authorization: string | undefined): string | undefined {
    const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
    const found = token === undefined ? undefined : this.#access.get(token);
    return found && found.until > this.clock.now() ? found.account : undefined;
  }

  /** Answer to a POST of a form. */
  answer(form: URLSearchParams): { status: number; body: object } {
    const grant = form.get('grant_type');
    const fail = (error: string, description: string) => ({
      status: 400,
      body: { error, error_description: description },
    });
    if (grant === 'refresh_token') {
      if (form.get('client_id') !== CLIENT.client_id || form.get('client_secret') !== CLIENT.client_secret) {
        return { status: 401, body: { error: 'invalid_client', error_description: 'The OAuth client was not found.' } };
      }
      const account = this.#refreshTokens.get(form.get('refresh_token') ?? '');
      if (!account) return fail('invalid_grant', 'Token has been expired or revoked.');
      return { status: 200, body: { ...this.newToken(account), token_type: 'Bearer' } };
    }
    if (grant !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
      return fail('unsupported_grant_type', 'Invalid grant_type');
    const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.');
    try {
      const { iss, aud, exp, scope } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<
        string,
        unknown
      >;
      const key = this.#keys.get(String(iss));
      if (!key) return fail('invalid_grant', 'Invalid grant: account not found');
      const isSigned = createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(key, signature, 'base64url');
      if (!isSigned) return fail('invalid_grant', 'Invalid JWT Signature.');
      if (aud !== AUDIENCE || !(Number(exp) * 1000 > Date.now())) return fail('invalid_grant', 'Invalid JWT.');
      if (!String(scope).includes('https://www.googleapis.com/auth/'))
        return fail('invalid_scope', 'Empty or missing scope not allowed.');
      return { status: 200, body: { ...this.newToken(String(iss)), token_type: 'Bearer' } };
    } catch {
      return fail('invalid_grant', 'Bad Request');
    }
  }
}
