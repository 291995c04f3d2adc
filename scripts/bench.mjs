/** `npm run bench -- NAME [--peer PYTHON] …`: runs bench/NAME.ts. Its last line is one JSON object. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { node, root } from './lib/command.mjs';
import { install } from './lib/install.mjs';

const [name, ...args] = process.argv.slice(2);
if (!name || !/^[\w-]+$/.test(name) || !existsSync(join(root, 'bench', `${name}.ts`))) {
  const names = readdirSync(join(root, 'bench')).flatMap((file) =>
    /^([\w-]+)\.ts$/.test(file) ? [file.slice(0, -3)] : [],
  );
  process.stderr.write(
    `${name ? `There is no benchmark "${name}".` : 'Which benchmark?'} Known: ${names.join(', ')}.\n`,
  );
  process.exit(2);
}
const say = (line) => process.stderr.write(`${line}\n`);
if (!(await install(say))) process.exit(1);
if (!(await build(() => {}))) process.exit(1);
process.exitCode = await node(['--import', 'tsx', `bench/${name}.ts`, ...args]);
