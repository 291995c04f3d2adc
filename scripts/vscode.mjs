/**
 * `npm run vscode [FOLDER]`: builds the extension and opens it: in VS Code where this machine has one, else in VS Code in
 * the browser, whose address it prints. After a change: `npm run build`, then "Developer: Reload Window".
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { build } from './build.mjs';
import { root } from './lib/command.mjs';
import { install } from './lib/install.mjs';
import { developerDir, installVsCode, startVsCode } from './lib/vscode.mjs';
import { packageExtension } from './package.mjs';

process.exitCode = await main();

async function main() {
  const say = (line) => process.stdout.write(`${line}\n`);
  if (!(await install(say))) return 1;
  say('Building');
  if (!(await build(() => {}))) return 1;
  const folder = resolve(process.argv[2] ?? 'examples/default');
  const code = onPath('code');
  if (code !== undefined) {
    say(`Opening ${folder} in ${code}`);
    spawn(code, ['--new-window', `--extensionDevelopmentPath=${root}`, folder], { stdio: 'inherit' });
    return 0;
  }
  return openInBrowser(folder, say);
}

/** Until it is interrupted. Its settings are kept for the next time. */
async function openInBrowser(folder, say) {
  const missing = await installVsCode(say);
  if (missing !== undefined) {
    process.stderr.write(`${missing}.\nOr install VS Code, so that its command "code" is found.\n`);
    return 1;
  }
  const packed = await mkdtemp(join(tmpdir(), 'tuneyard-vsix-'));
  const vsix = await packageExtension(join(packed, 'tuneyard.vsix'));
  const server = await startVsCode({ dir: developerDir, vsix, home: homedir(), source: root });
  await rm(packed, { recursive: true, force: true });
  const url = `http://127.0.0.1:${server.port}/?folder=${encodeURIComponent(folder)}`;
  say(`\n  ${url}\n\nCtrl-C ends it.`);
  if (process.env.DISPLAY || process.env.WAYLAND_DISPLAY) openUrl(url);
  await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, resolve);
  });
  await server.close();
  return 0;
}

function openUrl(url) {
  const opener = onPath('xdg-open');
  if (opener === undefined) return;
  spawn(opener, [url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}

function onPath(program) {
  const names = process.platform === 'win32' ? [`${program}.cmd`, `${program}.exe`] : [program];
  return (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}
