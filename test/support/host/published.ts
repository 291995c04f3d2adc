/** Published packages as npm fetched them when this checkout was installed: the very files that hosts get. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { enginePackages, type PublishedPackage } from '@runner/setup/onnxRuntime';

const cache = (() => {
  try {
    return execFileSync('npm', ['config', 'get', 'cache'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return join(homedir(), '.npm');
  }
})();

/** The .tgz: npm keeps it under its hash. */
export function publishedPackage({ integrity }: PublishedPackage): string {
  const hash = Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex');
  return join(cache, '_cacache/content-v2/sha512', hash.slice(0, 2), hash.slice(2, 4), hash.slice(4));
}

/** What a host like this machine gets. */
export const PACKAGES = enginePackages(`${process.platform}-${process.arch}`);

/** Why there is none; undefined where there is. */
export const publishedMissing = PACKAGES.every((each) => existsSync(publishedPackage(each)))
  ? undefined
  : `needs packages in npm's cache: npm cache add ${PACKAGES.map(({ name, version }) => `${name}@${version}`).join(' ')}`;
