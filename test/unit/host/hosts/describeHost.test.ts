/** A machine in one line, and what its check found. */
import { checksPage, hostDetails, hostLine } from '@host/hosts/describeHost';
import type { HostStatus } from '@protocol/serve';
import { describe, expect, it } from 'vitest';

const status: HostStatus = {
  hostname: 'box',
  platform: 'linux',
  arch: 'x64',
  node: '22.1.0',
  cpus: 8,
  cpu_model: 'EPYC',
  cpu_utilization: 0.254,
  memory_bytes: 64e9,
  free_memory_bytes: 40e9,
  disk_bytes: 200e9,
  free_disk_bytes: 12.34e9,
  gpus: [],
  device: 'cpu',
  device_reason: 'CPU: there is no NVIDIA GPU',
};
const gpu = (index: number, name: string, used: number, utilization: number) => ({
  index,
  name,
  memory_bytes: 24e9,
  used_bytes: used,
  utilization,
});
const connected = { kind: 'connected' } as const;

describe('the line of a host', () => {
  it('says what it computes with, how busy that is, and how many runs there are', () => {
    expect(hostLine(connected, status, 0)).toBe('8 cores · CPU · 25%');
    const two = [gpu(0, 'NVIDIA L4', 10e9, 0.5), gpu(1, 'NVIDIA L4', 1e9, 0.32)];
    expect(hostLine(connected, { ...status, device: 'cuda:0', gpus: two }, 1)).toBe('2×L4 · 41% · 11/48 GB · 1 run');
    const mixed = [gpu(0, 'NVIDIA L4', 0, 0), gpu(1, 'NVIDIA A100-SXM4-80GB', 0, 0)];
    expect(hostLine(connected, { ...status, device: 'cuda:0', gpus: mixed }, 3)).toContain('L4, A100-SXM4-80GB');
  });

  it('does not let a GPU that cannot be used pass for one that trains', () => {
    expect(hostLine(connected, { ...status, gpus: [gpu(0, 'NVIDIA L4', 0, 0)] }, 0)).toContain('GPU not usable');
  });

  it('says why there is no connection', () => {
    const failed = { kind: 'failed', code: 'timed_out', message: 'box does not answer.' } as const;
    expect(hostLine(failed, undefined, 0)).toBe('box does not answer.');
    expect(hostLine({ kind: 'connecting', attempt: 2 }, undefined, 0)).toBe('connecting');
    expect(hostLine({ kind: 'disconnected' }, undefined, 0)).toBe('not connected');
  });

  it('keeps the rest for the hover', () => {
    const rows = Object.fromEntries(
      hostDetails({ ...status, driver: '550.54', cuda: '12.4', gpus: [gpu(0, 'L4', 1e9, 0.1)] }),
    );
    expect(rows).toMatchObject({ Driver: '550.54', CUDA: '12.4', Disk: '12.3 GB of 200 GB free' });
    expect(rows['GPU 0']).toContain('1 GB of 24 GB used');
    expect(Object.keys(Object.fromEntries(hostDetails(status)))).not.toContain('Driver');
  });
});

describe('the check of a machine', () => {
  it('puts first what is to be done, and how', () => {
    const page = checksPage('box', [
      { name: 'Disk', status: 'ok', detail: '12 GB free' },
      { name: 'CUDA', status: 'failed', detail: 'libcublas.so.12 not found', remedy: 'Install CUDA 12.' },
    ]);
    expect(page).toContain('1 of 2 checks on box need attention');
    expect(page.indexOf('CUDA')).toBeLessThan(page.indexOf('Disk'));
    expect(page).toContain('→ Install CUDA 12.');
    expect(checksPage('box', [{ name: 'Disk', status: 'ok', detail: '12 GB free' }])).toContain('All is well on box');
  });
});
