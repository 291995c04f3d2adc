import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cudaObstacle, nativeFolder } from '@runner/engine/cudaLibraries';
import { chooseDevice } from '@runner/engine/device';
import { describe, expect, it } from 'vitest';
import { failure, temporaryFolders } from '../hub/support';

const folder = temporaryFolders();
const CUDA = 'libonnxruntime_providers_cuda.so';
const SHARED = 'libonnxruntime_providers_shared.so';

describe('the device of a run', () => {
  it('is the CPU without a look at any GPU where the recipe says so', async () => {
    expect(await chooseDevice('cpu')).toEqual({
      provider: 'cpu',
      label: 'CPU',
      reason: 'CPU: the recipe asks for it',
    });
  });

  it('is a GPU where one works, and otherwise the CPU with the reason; asking for a GPU then fails for that reason', async () => {
    const device = await chooseDevice('auto');
    if (device.provider === 'cuda') {
      expect(device).toMatchObject({ deviceId: 0, label: expect.stringMatching(/^CUDA:0/) });
      expect(await chooseDevice('cuda')).toEqual(device);
      return;
    }
    const reason = /^CPU: (.+)$/.exec(device.reason)?.[1];
    expect(reason).toBeTruthy();
    for (const requested of ['cuda', 'cuda:0']) {
      const error = await failure(chooseDevice(requested));
      expect(error).toMatchObject({ code: 'device_unavailable', exitStatus: 2 });
      expect(error.message).toContain(`"${requested}" cannot be used here: ${reason}. `);
    }
  });

  it('never is a GPU that the machine does not have', async () => {
    const error = await failure(chooseDevice('cuda:999'));
    expect(error).toMatchObject({ code: 'device_unavailable', data: { device: 'cuda:999' } });
  });
});

describe.skipIf(process.platform !== 'linux')('what is missing for CUDA', () => {
  it('is the provider, where it does not lie beside ONNX Runtime', async () => {
    const dir = await folder();
    expect(await cudaObstacle(dir)).toMatchObject({ what: `${CUDA} not found` });
    writeFileSync(join(dir, CUDA), '');
    expect(await cudaObstacle(dir)).toMatchObject({ what: `${SHARED} not found` });
  });

  it('is named by the library that the provider needs, as the system’s loader tells', async () => {
    const dir = await folder();
    // Any library will do that needs another one which is not where it looks.
    copyFileSync(join(nativeFolder()!, 'onnxruntime_binding.node'), join(dir, CUDA));
    writeFileSync(join(dir, SHARED), '');
    expect(await cudaObstacle(dir)).toEqual({
      what: 'libonnxruntime.so.1 not found',
      remedy: 'Install it, or put its folder on LD_LIBRARY_PATH.',
    });
  });

  it('is a whole provider, where a download broke off', async () => {
    const dir = await folder();
    writeFileSync(join(dir, CUDA), 'half');
    writeFileSync(join(dir, SHARED), '');
    expect((await cudaObstacle(dir))?.what).toBe(`${CUDA} cannot be loaded (file too short)`);
  });
});
