/** The question where a run shall be: the hosts with their memory, and whether it fits where that is known. */
import type { Estimate } from '@protocol/runner';
import * as l10n from '@vscode/l10n';
import * as vscode from 'vscode';
import { formatMoney, gpuText } from '../cloud/ui/vmLine';
import type { Host } from '../hosts/host';
import { formatBytes } from '../ui/format';
import { type HostMemory, hostMemory, neededBytes } from './hostMemory';
import { type BACK, type Choice, pickStep } from './pickStep';
import type { RecipeServices } from './recipeServices';

/** What is known of a host, as it comes to be known. */
interface Known {
  memory?: HostMemory;
  estimate?: Estimate;
  /** Of a VM. */
  price?: string;
}

/** No host has it for an id. */
const PROVISION = 'provision';

const STATUS_MS = 5000;

/**
 * @param recipe the recipe's path, whose last host comes first
 * @param estimate what the run will need, where it can be told
 * @returns a host's id; undefined where the person went away
 */
export async function pickHost(
  services: RecipeServices,
  ask: {
    title: string;
    step: number;
    totalSteps: number;
    canGoBack?: boolean;
    recipe?: string;
    estimate?: Promise<Estimate | undefined>;
    /** Whether a VM may be made for it, here and now. */
    canProvision?: boolean;
  },
): Promise<string | typeof BACK | undefined> {
  const { hosts, recent } = services;
  const last = recent.host(ask.recipe);
  const listed = [...hosts.list()].sort((a, b) => Number(b.id === last) - Number(a.id === last));
  const known = new Map<string, Known>(listed.map(({ id, label }) => [id, ofVm(services, id, label)]));
  let price = '';
  const { recipe: _, estimate, canProvision, ...step } = ask;
  const provision = (): Choice<string>[] =>
    canProvision
      ? [{ label: `$(cloud) ${l10n.t('Provision a VM…')}`, description: price, value: PROVISION, alwaysShow: true }]
      : [];
  const items = (): Choice<string>[] => [
    ...listed.map((host) => itemOf(host, known.get(host.id)!, host.id === last)),
    ...provision(),
  ];
  const chosen = await pickStep<string>({
    ...step,
    placeholder: l10n.t('Where shall it train?'),
    items: items(),
    refine(update, signal) {
      for (const { id } of listed) {
        // Nothing connects by being listed.
        memoryOf(services, id, signal).then((memory) => {
          if (memory) known.get(id)!.memory = memory;
          update(items());
        }, ignore);
      }
      estimate?.then((result) => {
        if (!result) return;
        for (const entry of known.values()) entry.estimate = result;
        // It was made on this machine.
        const here = known.get('local');
        if (here) here.memory ??= localMemory(services, result);
        update(items());
      }, ignore);
      if (!canProvision) return;
      vmPrice(services, estimate, signal).then((text) => {
        price = text;
        update(items());
      }, ignore);
    },
  });
  if (chosen !== PROVISION) return chosen;
  const { provisionVm } = await import('../cloud/ui/provisionVm');
  return provisionVm(services, estimate && { estimate });
}

/** What the cheapest machine that fits costs; empty where that cannot be told without a question. */
async function vmPrice(
  services: RecipeServices,
  estimating: Promise<Estimate | undefined> | undefined,
  signal: AbortSignal,
): Promise<string> {
  const { priceFrom } = await import('../cloud/ui/priceFrom');
  const estimate = await estimating;
  return priceFrom(services, estimate && neededBytes(estimate, { kind: 'gpu' }), signal);
}

/** Free memory of a host whose runner is open, or of this machine; undefined where nobody knows. */
export async function memoryOf(
  { hosts, runners }: Pick<RecipeServices, 'hosts' | 'runners'>,
  id: string,
  signal?: AbortSignal,
): Promise<HostMemory | undefined> {
  const label = hosts.get(id)?.label;
  const runner = runners.current(id);
  if (label === undefined || !runner) return undefined;
  const limit = AbortSignal.timeout(STATUS_MS);
  const status = await runner.peer.request('host/status', {}, signal ? AbortSignal.any([signal, limit]) : limit);
  return hostMemory(label, status);
}

/** This machine's, as an estimate that was made on it says. */
export function localMemory({ hosts }: Pick<RecipeServices, 'hosts'>, estimate: Estimate): HostMemory {
  return { label: hosts.get('local')?.label ?? 'local', bytes: estimate.free_memory_bytes, kind: 'cpu' };
}

/** The host that the settings name, if there is such a one. */
export function defaultHost({ hosts }: Pick<RecipeServices, 'hosts'>): string | undefined {
  const id = vscode.workspace.getConfiguration('tuneyard').get<string>('defaultHost');
  return id && hosts.get(id) ? id : undefined;
}

function itemOf({ id, label, state }: Host, { memory, estimate, price }: Known, isLast: boolean): Choice<string> {
  const icon = id === 'local' ? 'device-desktop' : state.kind === 'connected' ? 'vm-active' : 'vm';
  const notes = [
    ...(price ? [price] : []),
    ...(memory
      ? [l10n.t('{0} free on the {1}', formatBytes(memory.bytes), memory.kind === 'gpu' ? 'GPU' : 'CPU')]
      : []),
    ...(memory && estimate ? [fitMark(estimate, memory)] : []),
    ...(state.kind === 'failed' ? [l10n.t('not reached last time')] : []),
    ...(isLast ? [l10n.t('used last')] : []),
  ];
  return { label: `$(${icon}) ${label}`, description: notes.join(' · '), value: id };
}

/** A VM's GPUs and price are known without a connection. */
function ofVm({ vms }: RecipeServices, id: string, label: string): Known {
  const vm = vms.list().find(({ host }) => host === id);
  if (!vm?.gpu) return {};
  const { gpu, cost } = vm;
  return {
    memory: { label, bytes: gpu.memory_bytes, kind: 'gpu' },
    price: [gpuText(gpu), cost && l10n.t('{0}/h', formatMoney(cost.usd_per_hour))].filter((part) => part).join(' · '),
  };
}

function fitMark(estimate: Estimate, memory: HostMemory): string {
  const needed = neededBytes(estimate, memory);
  return needed <= memory.bytes
    ? l10n.t('✓ fits, needs {0}', formatBytes(needed))
    : l10n.t('✗ does not fit, needs {0}', formatBytes(needed));
}

function ignore(): void {}
