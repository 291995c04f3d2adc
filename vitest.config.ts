import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: { alias: { '@protocol': here('src/protocol'), '@runner': here('remote-runner/src'), '@host': here('src') } },
  test: {
    // Generous: two cores may be busy with other things, and a test that hangs fails all the same.
    // onnxruntime-node is a native addon with threads of its own: one process a file, never worker threads.
    pool: 'forks',
    // Many tests wait for others: processes, connections, timers.
    maxWorkers: 3,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'plain',
          include: ['test/**/*.test.ts'],
          exclude: ['test/vscode/**'],
          setupFiles: 'test/support/ownHome.ts',
          // Many start programs, servers and connections on a machine that does other things as well: what fails twice is
          // broken. That it was tried again stands in the output.
          retry: 1,
        },
      },
      {
        // A browser, VS Code and a training at once fill a machine: one file at a time, when all else is done.
        extends: true,
        test: {
          name: 'vscode',
          include: ['test/vscode/**/*.test.ts'],
          globalSetup: 'test/support/vscode/setup.ts',
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
