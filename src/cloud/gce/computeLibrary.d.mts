/** What is used of Google's libraries: their own declarations are 33 MB, which every check of types would read. */
import type { GoogleAuth } from 'google-auth-library';
import type { Compute as Api } from './messages';

export { Compute, GoogleAuth, gaxios, JWT, UserRefreshClient } from 'google-auth-library';

export interface ClientOptions {
  auth: GoogleAuth;
  apiEndpoint?: string;
  port?: number;
  protocol?: 'http' | 'https';
}

type Constructor<Client> = new (options: ClientOptions, transport: unknown) => Client;
export const CLIENTS: { [Name in keyof Api]: Constructor<Api[Name]> };
export const TRANSPORT: unknown;
