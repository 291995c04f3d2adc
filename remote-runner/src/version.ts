import { readFileSync } from 'node:fs';

/** The runner's version: package.json lies one folder above both this source and the bundle made of it. */
export function version(): string {
  try {
    const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?';
  } catch {
    return '?';
  }
}
