/** A machine in one line, and all that is known of it; and what `doctor` found there, as a page. */
import type { Check } from '@protocol/runner';
import type { HostStatus } from '@protocol/serve';
import * as l10n from '@vscode/l10n';
import { formatBytes } from '../ui/format';
import type { HostState } from './host';

/** `2×L4 · 41% · 11/24 GB · 1 run`, or `2 cores · CPU`. */
export function hostLine(state: HostState, status: HostStatus | undefined, running: number): string {
  if (state.kind === 'connecting') return l10n.t('connecting');
  if (state.kind === 'failed') return state.message;
  if (!status) return state.kind === 'connected' ? '' : l10n.t('not connected');
  const runs = running === 0 ? '' : running === 1 ? l10n.t('1 run') : l10n.t('{0} runs', running);
  return [...computing(status), runs].filter(Boolean).join(' · ');
}

function computing({ gpus, cpus, cpu_utilization, device }: HostStatus): string[] {
  if (gpus.length === 0) return [l10n.t('{0} cores', cpus), 'CPU', percent(cpu_utilization)];
  const used = gpus.reduce((sum, gpu) => sum + gpu.used_bytes, 0);
  const all = gpus.reduce((sum, gpu) => sum + gpu.memory_bytes, 0);
  const busy = gpus.reduce((sum, gpu) => sum + gpu.utilization, 0) / gpus.length;
  const unusable = device.startsWith('cuda') ? '' : l10n.t('GPU not usable');
  return [gpuNames(gpus.map(({ name }) => name)), percent(busy), `${gigabytes(used)}/${formatBytes(all)}`, unusable];
}

/** `2×L4`: without the maker, as people say it. */
function gpuNames(names: readonly string[]): string {
  const short = names.map((name) => name.replace(/^NVIDIA\s+/i, ''));
  return [...new Set(short)]
    .map((name) => {
      const count = short.filter((each) => each === name).length;
      return count > 1 ? `${count}×${name}` : name;
    })
    .join(', ');
}

const percent = (share: number): string => `${Math.round(100 * share)}%`;
const gigabytes = (bytes: number): string => String(Number((bytes / 1e9).toPrecision(3)));

/** Rows of a name and a value. */
export function hostDetails(status: HostStatus): [string, string][] {
  const rows: [string, string | undefined][] = [
    [l10n.t('Machine'), `${status.hostname} (${status.platform} ${status.arch})`],
    [l10n.t('Processor'), `${status.cpus} × ${status.cpu_model}`],
    [
      l10n.t('Memory'),
      l10n.t('{0} of {1} free', formatBytes(status.free_memory_bytes), formatBytes(status.memory_bytes)),
    ],
    [l10n.t('Disk'), l10n.t('{0} of {1} free', formatBytes(status.free_disk_bytes), formatBytes(status.disk_bytes))],
    ...status.gpus.map(({ index, name, memory_bytes, used_bytes, utilization }): [string, string] => [
      `GPU ${index}`,
      `${name}, ${l10n.t('{0} of {1} used', formatBytes(used_bytes), formatBytes(memory_bytes))}, ${percent(utilization)}`,
    ]),
    [l10n.t('Driver'), status.driver],
    ['CUDA', status.cuda],
    ['Node', status.node],
    [l10n.t('Trains on'), status.device_reason],
  ];
  return rows.flatMap(([name, value]) => (value ? [[name, value] satisfies [string, string]] : []));
}

const SIGNS: Record<Check['status'], string> = { ok: '✓', warning: '!', failed: '✗' };

/** What is not fine comes first, with what to do. */
export function checksPage(host: string, checks: readonly Check[]): string {
  const bad = checks.filter(({ status }) => status !== 'ok');
  const verdict =
    bad.length === 0
      ? l10n.t('All is well on {0}.', host)
      : l10n.t('{0} of {1} checks on {2} need attention.', bad.length, checks.length, host);
  const lines = [...bad, ...checks.filter(({ status }) => status === 'ok')].flatMap(
    ({ name, status, detail, remedy }) => [
      `${SIGNS[status]} ${name}: ${detail}`,
      ...(remedy === undefined ? [] : [`    → ${remedy}`]),
    ],
  );
  return [verdict, '', ...lines, ''].join('\n');
}
