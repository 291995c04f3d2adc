/** Activation: wiring only. What is heavy is loaded by what needs it. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { tuneyardHome } from './cloud/ledger';
import { sshOptions } from './cloud/sshOptions';
import { CloudClient } from './cloud/ui/cloudClient';
import { cloudEnvironment } from './cloud/ui/cloudSettings';
import { vmCommands } from './cloud/ui/vmCommands';
import { showIdleVms } from './cloud/ui/vmStatusBar';
import { Vms } from './cloud/ui/vms';
import { vmTunnel } from './cloud/ui/vmTunnel';
import { VmWatch } from './cloud/ui/watchVms';
import { VmHosts } from './cloud/vmHosts';
import { registerCommands, showError } from './commands';
import { hostCommands } from './hosts/commands';
import type { AddedHost } from './hosts/hosts';
import { VsCodePrompts } from './hosts/prompts';
import { HostRegistry } from './hosts/registry';
import { HostTree } from './hosts/tree';
import { panelCommands, registerPanels } from './panels/panelCommands';
import { ReadOnlyPages } from './recipes/readOnlyPages';
import { recipeCommands, registerRecipes } from './recipes/recipes';
import { RunnerClients } from './runner/runnerClients';
import { announceEnds } from './runs/announceEnds';
import { runCommands } from './runs/commands';
import { reattachQuietly } from './runs/reattach';
import { showRunningRun } from './runs/statusBar';
import { RunStore } from './runs/store';
import { RunTree } from './runs/tree';
import type { Services } from './services';

const ADDED_HOSTS = 'addedHosts';

export function activate(context: vscode.ExtensionContext): void {
  if (vscode.l10n.bundle) l10n.config({ contents: vscode.l10n.bundle });
  const log = vscode.window.createOutputChannel('Tuneyard', { log: true });
  const services = makeServices(context, log);
  const { runs } = services;

  const runTree = new RunTree(services);
  const hostTree = new HostTree(services);
  const runView = vscode.window.createTreeView('tuneyard.runs', { treeDataProvider: runTree, showCollapseAll: true });
  const hostView = vscode.window.createTreeView('tuneyard.hosts', { treeDataProvider: hostTree });
  hostView.onDidChangeVisibility(({ visible }) => hostTree.watch(visible));
  hostTree.watch(hostView.visible);
  context.subscriptions.push(
    log,
    runView,
    hostView,
    runTree,
    hostTree,
    registerPanels(services),
    registerRecipes(services),
  );
  const vmWatch = new VmWatch(services);
  context.subscriptions.push(showRunningRun(services), announceEnds(services), showIdleVms(services), vmWatch);

  for (const commands of [
    { 'tuneyard.showOutput': () => log.show() },
    panelCommands(services),
    recipeCommands(services),
    runCommands(services, runTree),
    hostCommands(services, hostTree),
    vmCommands(services, () => vmWatch.lookAgain()),
  ]) {
    registerCommands(context, log, commands);
  }
  void runs.load().then(() => reattachQuietly(services, runView));
}

function makeServices(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Services {
  const storage = context.globalStorageUri.fsPath;
  const note = (text: string) => log.info(text);
  const addedHosts = () => context.globalState.get<AddedHost[]>(ADDED_HOSTS, []);
  const prompts = new VsCodePrompts(context.secrets);
  const program = join(context.extensionPath, 'remote-runner', 'bin', 'tuneyard.mjs');
  const cloud = new CloudClient({ program, environment: cloudEnvironment, log: note });
  const vms = new Vms(tuneyardHome());
  const sshPort = Number(process.env.TUNEYARD_GCE_SSH_PORT) || undefined;
  const vmHosts = new VmHosts(tuneyardHome(), {
    tunnel: vmTunnel(program),
    ...(sshPort !== undefined && { port: sshPort }),
  });
  const sshWords = (host: string) => {
    const ssh = vmHosts.list().find(({ name }) => `ssh:${name}` === host);
    return ssh && [...sshOptions(ssh), '-p', String(ssh.port), `${ssh.user}@${ssh.hostName}`];
  };
  const configured = setting('sshConfigPath').replace(/^~(?=\/)/, homedir());
  const hosts = new HostRegistry({
    prompts,
    added: { get: addedHosts, set: (added) => context.globalState.update(ADDED_HOSTS, added) },
    vmHosts,
    ...(configured !== '' && { sshConfigPaths: [configured] }),
    onProblem: (problem) => void showError(problem, log),
    log: note,
  });
  const runners = new RunnerClients({
    hosts,
    runnerFolder: join(context.extensionPath, 'remote-runner'),
    cache: join(storage, 'downloads'),
    settings: () => ({
      nodeMirror: setting('nodeMirror') || 'https://nodejs.org/dist',
      npmRegistry: setting('npmRegistry') || 'https://registry.npmjs.org',
      nuget: setting('nugetFeed') || 'https://api.nuget.org/v3-flatcontainer',
    }),
    log: note,
  });
  const runs = new RunStore({ runners, storage, log: note });
  const pages = new ReadOnlyPages();
  context.subscriptions.push(pages, runs, runners, hosts, vmHosts, vms, cloud);
  return { context, log, hosts, addedHosts, prompts, runners, runs, cloud, vms, sshWords, pages };
}

const setting = (key: string): string => vscode.workspace.getConfiguration('tuneyard').get<string>(key) ?? '';
