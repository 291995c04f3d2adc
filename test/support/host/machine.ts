/** This machine under another home, with ONNX Runtime where an installation looks for it: nothing is fetched. */
import { mkdir, mkdtemp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '@host/hosts/host';
import type { Hosts } from '@host/hosts/hosts';
import { RunnerClients } from '@host/runner/runnerClients';
import { engineName, enginePackages } from '@runner/setup/onnxRuntime';
import { Emitter } from 'vscode-jsonrpc';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Makes a home directory under `dir`. */
export async function homeWithEngine(dir: string): Promise<string> {
  const home = await mkdtemp(join(dir, 'home-'));
  await putEngine(home);
  return home;
}

export async function putEngine(home: string): Promise<void> {
  const modules = join(home, '.tuneyard/engine', engineName('cpu'), 'node_modules');
  await mkdir(join(modules, '@koromix'), { recursive: true });
  for (const { name } of enginePackages(`${process.platform}-${process.arch}`))
    await symlink(join(ROOT, 'node_modules', name), join(modules, name));
}

/** The product's own clients, for hosts that are given. */
export function clientsFor(
  hosts: readonly Host[],
  cache: string,
  log: (text: string) => void = () => {},
): RunnerClients {
  const listed: Hosts = {
    list: () => hosts,
    get: (id) => hosts.find((host) => host.id === id),
    add: () => Promise.reject(new Error('no host is added here')),
    remove: () => Promise.reject(new Error('no host is removed here')),
    onDidChange: new Emitter<void>().event,
  };
  return new RunnerClients({
    hosts: listed,
    runnerFolder: join(ROOT, 'remote-runner'),
    cache,
    // Nothing answers there.
    settings: () => ({
      nodeMirror: 'http://127.0.0.1:9',
      npmRegistry: 'http://127.0.0.1:9',
      nuget: 'http://127.0.0.1:9',
    }),
    log,
  });
}
