// Compiles the optimizer's WebAssembly kernels: kernels.wat → kernels.ts, which is committed, so that only who changes them
// needs the compiler.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const folder = fileURLToPath(new URL('../remote-runner/src/optim/kernels/', import.meta.url));
const module = (await wabt()).parseWat('kernels.wat', await readFile(`${folder}kernels.wat`, 'utf8'), { simd: true });
module.validate();
const bytes = Buffer.from(module.toBinary({}).buffer);
const lines = bytes.toString('base64').match(/.{1,112}/g);
await writeFile(
  `${folder}kernels.ts`,
  `/** Made from kernels.wat by \`npm run kernels\`: ${bytes.length} bytes of WebAssembly. */
export const KERNELS = Buffer.from(
  \`${lines.join('\n')}\`,
  'base64',
);
`,
);
console.log(`${bytes.length} bytes`);
