/** VMs, offers and what becomes of them, as text for a terminal. */
import type { MachineOffer, Reconciliation, VmDeletion, VmView } from '@protocol/cloud';
import Table from 'cli-table3';

const dollars = (usd: number): string => `$${usd.toFixed(2)}`;

/** "45 min", "3 h 5 min", "2 d 4 h". */
export function spanOf(ms: number): string {
  const minutes = Math.max(0, Math.round(ms / 60_000));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  const [count, unit, rest, small] =
    hours < 24 ? [hours, 'h', minutes % 60, 'min'] : [Math.floor(hours / 24), 'd', hours % 24, 'h'];
  return rest === 0 ? `${count} ${unit}` : `${count} ${unit} ${rest} ${small}`;
}

const gib = (bytes: number) => `${Math.round(bytes / 2 ** 30)} GB`;
const NO_LINES = Object.fromEntries(
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid middle'
    .split(' ')
    .map((name) => [name, '']),
);

function tableOf(head: string[], rows: string[][]): string {
  const table = new Table({
    head,
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(...rows);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

export function vmTable(vms: readonly VmView[], now: number): string {
  const rows = vms.map((vm) => [
    vm.name,
    vm.stage && vm.stage !== 'ready' ? `${vm.state} (${vm.stage})` : vm.state,
    `${vm.gpu ? `${vm.gpu.count}×${vm.gpu.name}` : vm.machine_type}${vm.provisioning_model === 'SPOT' ? ' spot' : ''}`,
    vm.zone ?? '–',
    vm.cost ? `${dollars(vm.cost.usd_per_hour)}/h` : 'price not known',
    vm.cost ? dollars(vm.cost.usd) : '–',
    vm.delete_at ? spanOf(Date.parse(vm.delete_at) - now) : '–',
    vm.idle_seconds === undefined ? '–' : spanOf(vm.idle_seconds * 1000),
    vm.known ? '' : `not made here (${vm.owner ?? 'no owner'})`,
  ]);
  return tableOf(['NAME', 'STATE', 'GPU', 'ZONE', 'PRICE', 'SO FAR', 'ENDS IN', 'IDLE', ''], rows);
}

export function offerTable(offers: readonly MachineOffer[]): string {
  const rows = offers.map(
    ({ machine_type, gpu, cpus, memory_bytes, provisioning_model, region, price, quota, fits }) => [
      fits ? (quota ? 'quota' : '✓') : 'small',
      machine_type,
      `${gpu.count}×${gpu.name}`,
      gib(gpu.count * gpu.memory_bytes),
      `${cpus} / ${gib(memory_bytes)}`,
      provisioning_model === 'SPOT' ? 'spot' : 'on demand',
      region,
      price ? `${dollars(price.usd_per_hour + price.disk_usd_per_hour)}/h` : 'not known',
    ],
  );
  return tableOf(['', 'MACHINE TYPE', 'GPU', 'GPU MEMORY', 'CPU / RAM', 'MODEL', 'REGION', 'PRICE'], rows);
}

/** All that is known of one. */
export function vmText(vm: VmView, now: number): string {
  const { cost, gpu } = vm;
  const lines: [string, string | undefined][] = [
    ['Project', vm.project],
    ['Zone', vm.zone],
    ['State', vm.preempted ? `${vm.state}, taken away by Google` : vm.state],
    ['Machine', `${vm.machine_type}${gpu ? `, ${gpu.count}×${gpu.name}` : ''}, ${vm.provisioning_model.toLowerCase()}`],
    ['Up for', vm.started && vm.state === 'RUNNING' ? spanOf(now - Date.parse(vm.started)) : undefined],
    ['Idle for', vm.idle_seconds === undefined ? undefined : idleText(vm)],
    ['Ends', vm.delete_at && `in ${spanOf(Date.parse(vm.delete_at) - now)} (${vm.delete_at})`],
    ['At the latest', vm.delete_at_latest],
    ['Cost', cost && `${dollars(cost.usd)} so far, ${dollars(cost.usd_per_hour)} an hour (prices of ${cost.as_of})`],
    ['Made', vm.known ? vm.created : `elsewhere, by ${vm.owner ?? 'nobody known'}`],
    ['Problem', vm.problem],
  ];
  const shown = lines.filter((line): line is [string, string] => line[1] !== undefined);
  return [vm.name, ...shown.map(([name, value]) => `  ${name.padEnd(14)}${value}`)].join('\n');
}

const idleText = ({ idle_seconds = 0, idle_minutes }: VmView) =>
  `${spanOf(idle_seconds * 1000)}${idle_minutes ? ` (ends itself after ${idle_minutes} min)` : ''}`;

export function deletionText({ vm, verified, kept, cost }: VmDeletion): string {
  const gone = verified.length > 0 ? ` Google lists it no more: ${verified.join(', ')}.` : '';
  const left = kept.length > 0 ? ` Kept: ${kept.join(', ')}.` : '';
  return `${vm} is deleted.${gone}${left}${cost ? ` It has cost ${dollars(cost.usd)}.` : ''}`;
}

export function reconciliationText({ unknown, known, gone, failed }: Reconciliation, now: number): string {
  const parts: string[] = [];
  const there = [...known, ...unknown];
  parts.push(there.length === 0 ? 'No VM of Tuneyard is there.' : vmTable(there, now));
  for (const vm of unknown) {
    parts.push(
      `${vm.name} was not made here. "tuneyard vm delete ${vm.name} --project ${vm.project}${vm.zone ? ` --zone ${vm.zone}` : ''}" deletes it.`,
    );
  }
  for (const vm of gone) parts.push(`${vm.name} is gone${vm.cost ? `; it has cost ${dollars(vm.cost.usd)}` : ''}.`);
  for (const { project, message } of failed) parts.push(`${project} could not be asked: ${message}`);
  return parts.join('\n');
}
