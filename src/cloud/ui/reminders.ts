/** When a person is to be reminded of a VM: before it is deleted, and while it costs and does nothing. */
import type { VmView } from '@protocol/cloud';

export interface Reminder {
  kind: 'ends' | 'idle' | 'preempted';
  vm: VmView;
  /** Until it is deleted or ends itself; 0 where it was taken away. */
  seconds: number;
  /** One and the same for as long as it holds: it is told once. */
  id: string;
}

const SOON_MS = 15 * 60_000;
/** A pause to think is no idleness. */
const SHORTEST_IDLE = 5 * 60;

export function dueReminders(vms: readonly VmView[], now: number): Reminder[] {
  return vms.flatMap((vm) => {
    const about = (kind: Reminder['kind'], seconds: number, what: string): Reminder[] => [
      { kind, vm, seconds: Math.max(0, Math.round(seconds)), id: [vm.project, vm.name, kind, what].join(' ') },
    ];
    if (!vm.known) return [];
    if (vm.state === 'TERMINATED' && vm.preempted) return about('preempted', 0, vm.started ?? vm.created ?? '');
    if (vm.state !== 'RUNNING' || (vm.stage && vm.stage !== 'ready')) return [];
    const left = vm.delete_at ? Date.parse(vm.delete_at) - now : Number.POSITIVE_INFINITY;
    if (left <= SOON_MS) return about('ends', left / 1000, vm.delete_at ?? '');
    const { idle_seconds = 0, idle_minutes = 0 } = vm;
    const isIdle = idle_minutes > 0 && idle_seconds >= Math.max(SHORTEST_IDLE, idle_minutes * 30);
    return isIdle ? about('idle', idle_minutes * 60 - idle_seconds, '') : [];
  });
}
