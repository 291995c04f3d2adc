/**
 * Puts the runner on a host: `~/.tuneyard/runner/ID`, new beside the old ones, checked, then switched to by a rename.
 * What is there already costs one command.
 */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';
import type { Bundle } from './bundle';
import { chooseEngine } from './engineChoice';
import { installEngine } from './engineInstall';
import type { InstallContext, InstalledRunner } from './installContext';
import { withInstallLock } from './installLock';
import { type HostFacts, lookAtHost } from './look';
import { installNode, suitableNode } from './nodeRuntime';
import { shell } from './remoteDir';

/**
 * @throws TuneyardError what `Host` throws; `platform_unsupported`, `install_failed`, `transfer_failed`, `disk_full`
 */
export async function installRunner(host: Host, bundle: Bundle, context: InstallContext): Promise<InstalledRunner> {
  const { signal, onProgress, log, owner } = context;
  onProgress(l10n.t('Looking at the machine'));
  const facts = await lookAtHost(host, bundle.id, signal);
  const there = whatIsThere(facts, bundle);
  if (there) return there;
  log(
    `${host.label}: ${facts.os} ${facts.machine}, Node ${facts.nodes.map(({ version }) => version).join(', ') || 'none'}, driver ${facts.driver ?? 'none'}`,
  );
  return withInstallLock(
    host,
    async () => {
      // While this one waited, another may have done it.
      const again = await lookAtHost(host, bundle.id, signal);
      return whatIsThere(again, bundle) ?? install(host, bundle, again, context);
    },
    { owner, ...(signal && { signal }), onWait: () => onProgress(l10n.t('Waiting for another window that installs')) },
  );
}

/** Not where a GPU, of which something was missing, can be used by now. */
function whatIsThere(facts: HostFacts, { id }: Bundle): InstalledRunner | undefined {
  if (!facts.ready) return undefined;
  const isForCpu = facts.ready.provider === 'cpu';
  return isForCpu && chooseEngine(facts).provider !== 'cpu' ? undefined : installed(facts.home, id, facts.ready.node);
}

const installed = (home: string, id: string, node: string): InstalledRunner => ({
  node,
  program: `${home}/.tuneyard/runner/${id}/bin/tuneyard.mjs`,
});

async function install(
  host: Host,
  bundle: Bundle,
  facts: HostFacts,
  context: InstallContext,
): Promise<InstalledRunner> {
  const { signal, onProgress, log, owner } = context;
  const options = signal ? { signal } : {};
  const node = facts.ready?.node ?? suitableNode(facts) ?? (await installNode(host, facts, context));
  log(`Node: ${node}`);

  const stage = l10n.t('Installing the runner');
  onProgress(stage, 0);
  const folder = `${facts.home}/.tuneyard/runner`;
  // Of a name that is known again: what a lost connection left there is gone on with.
  const temporary = `${folder}/.new-${bundle.id}-${owner}`;
  const isBegun = (await host.stat(temporary)) !== undefined;
  const total = bundle.files.reduce((sum, { bytes }) => sum + bytes, 0);
  try {
    let done = 0;
    for (const { name, path, bytes } of bundle.files) {
      const from = isBegun ? ((await host.stat(`${temporary}/${name}`))?.bytes ?? 0) : 0;
      await host.upload(path, `${temporary}/${name}`, {
        ...options,
        from,
        onProgress: (sent) => onProgress(stage, (done + sent) / total),
      });
      done += bytes;
    }
    const sums = bundle.files.map(({ name, sha256 }) => `${sha256} ${name}`).join('\n');
    await shell(host, '"$1" -e "$2" "$3"', [node, VERIFY, temporary], { input: sums, ...options });

    const engine = await installEngine(host, facts, { node, program: `${temporary}/bin/tuneyard.mjs` }, context);
    onProgress(l10n.t('Checking the installation'));
    await shell(host, SWITCH, [temporary, `${folder}/${bundle.id}`, engine.name, node, engine.provider], {
      timeoutMs: 60_000,
      ...options,
    });
  } catch (error) {
    // To connect again for this alone would be wrong: a person may just have disconnected.
    const isLost = error instanceof TuneyardError && ['connection_lost', 'timed_out'].includes(error.code);
    if (!isLost && host.state.kind === 'connected') await host.exec(['rm', '-rf', temporary]).catch(() => {});
    throw error;
  }
  await prune(host, bundle.id, log);
  return installed(facts.home, bundle.id, node);
}

/** Node on the host: each line of standard input is a hash and a name under the folder. */
const VERIFY = `
const {readFileSync}=require('fs'),{createHash}=require('crypto'),{join}=require('path');
for(const line of readFileSync(0,'utf8').trim().split('\\n')){
const [sum,name]=line.split(' ');
const found=createHash('sha256').update(readFileSync(join(process.argv[1],name))).digest('hex');
if(found!==sum){console.error(name+' arrived damaged; install again');process.exit(1)}}`;

/**
 * $1: what was put there, $2: its place, $3: the engine's name, $4: Node, $5: what it computes with. The runner has to
 * start and to load the engine before it counts as there. One that was there goes aside first: who runs it may go on.
 */
const SWITCH = `
set -e; cd "$1"; rm -f node_modules; ln -s "../../engine/$3/node_modules" node_modules
"$4" bin/tuneyard.mjs --version >/dev/null
"$4" -e 'try{require("onnxruntime-node")}catch(e){console.error("ONNX Runtime does not load: "+e.message);process.exit(1)}'
printf 'node=%s\\nengine=%s\\nprovider=%s\\n' "$4" "$3" "$5" > ready
if [ -d "$2" ]; then mv "$2" "$1.old"; fi
mv "$1" "$2"; rm -rf "$1.old"`;

/**
 * Removes all versions but this one, the one before, and those that somebody uses: a process of theirs is alive.
 * Nothing hangs on it.
 */
async function prune(host: Host, keep: string, log: (text: string) => void): Promise<void> {
  const script = `
cd "$HOME/.tuneyard/runner" || exit 0
if [ -r /proc/self/cmdline ]; then used=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ')
else used=$(ps -Aww -o args=) || exit 0; fi
ls -1t | grep -v "^$1\\$" | tail -n +2 | while read -r v; do
  case "$used" in *"/.tuneyard/runner/$v/"*) ;; *) rm -rf "$v"; echo "$v";; esac
done
find . -maxdepth 1 -name '.new-*' -mmin +120 -exec rm -rf {} + 2>/dev/null
for e in ../engine/*; do
  n=$(basename "$e"); grep -qx "engine=$n" */ready 2>/dev/null || { rm -rf "$e"; echo "$n"; }
done; exit 0`;
  const removed = await shell(host, script, [keep]).catch(() => '');
  if (removed.trim() !== '') log(`Removed old versions: ${removed.trim().split('\n').join(', ')}`);
}
