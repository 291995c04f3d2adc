/** What a person downloads: small, whole, and nothing in it that is none of their business. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shippedVsix } from '../support/vscode/vsCode';

describe('the package', () => {
  let vsix: Buffer;
  let files: Record<string, Uint8Array>;
  let dir: string;
  beforeAll(async () => {
    vsix = await readFile(shippedVsix());
    files = unzipSync(vsix);
    dir = await mkdtemp(join(tmpdir(), 'tuneyard-package-'));
    for (const [name, content] of Object.entries(files)) {
      if (!name.startsWith('extension/') || name.endsWith('/')) continue;
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), content);
    }
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const names = () => Object.keys(files).map((name) => name.replace(/^extension\//, ''));
  const text = (name: string) => Buffer.from(files[`extension/${name}`]!).toString();

  it('is under 5 MB', () => {
    expect(vsix.length).toBeLessThan(5e6);
  });

  it('holds no source, test, source map, native binary, nor a package that is in a bundle already', () => {
    const foreign =
      /\.(ts|mts|map|node|so|dll|dylib|vsix|tsbuildinfo)$|(^|\/)(test|tests|src|scripts|bench|node_modules|\.[^/]+)\//;
    expect(names().filter((name) => foreign.test(name))).toEqual([]);
  });

  it('holds all that its manifest names', () => {
    const manifest = JSON.parse(text('package.json'));
    const paths = new Set<string>([manifest.main, manifest.icon]);
    const collect = (value: unknown) => {
      if (typeof value === 'string' && /^(\.\/)?(media|dist|l10n)\//.test(value)) paths.add(value);
      else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect);
    };
    collect(manifest.contributes);
    for (const name of names().filter((each) => /^package\.nls.*json$/.test(each))) collect(JSON.parse(text(name)));
    const missing = [...paths]
      .map((path) => path.replace(/^\.\//, ''))
      .filter((path) => !(`extension/${path}` in files));
    expect(paths.size).toBeGreaterThan(8);
    expect(missing).toEqual([]);
  });

  it('says everything in Chinese that it says in English', () => {
    for (const kind of ['package.nls', 'l10n/bundle.l10n']) {
      const [english, chinese] = ['', '.zh-cn'].map((language) => JSON.parse(text(`${kind}${language}.json`)));
      expect(Object.keys(english).filter((key) => !(key in chinese))).toEqual([]);
    }
  });

  it('does not read ssh2 before a host is connected to', () => {
    const code = text('dist/extension.cjs');
    expect(code).toContain('import("./ssh2.cjs")');
    expect(code).not.toMatch(/require\("(\.\/)?ssh2/);
    expect(code.length).toBeLessThan(600_000);
  });

  it('brings a runner that runs', async () => {
    const program = join(dir, 'extension/remote-runner/bin/tuneyard.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [program, '--version']);
    expect(stdout.trim()).toBe(JSON.parse(text('package.json')).version);
  });
});
