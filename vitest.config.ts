import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: { alias: { '@protocol': here('src/protocol'), '@runner': here('remote-runner/src'), '@host': here('src') } },
  test: {
    include: ['test/**/*.test.ts'],
    // Generous: two cores may be busy with other things, and a test that hangs fails all the same.
    // onnxruntime-node is a native addon with threads of its own: one process a file, never worker threads.
    pool: 'forks',
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
