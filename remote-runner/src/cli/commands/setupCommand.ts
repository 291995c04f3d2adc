import { resolve } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import { Command, Option } from 'commander';
import { type CliContext, openOutput, type SharedOptions, withSharedOptions } from '../context';
import { listenForInterrupts } from '../interrupts';

interface SetupOptions extends SharedOptions {
  out?: string;
  pack?: boolean;
  plan?: boolean;
  platform: string;
  provider: 'cpu' | 'cuda12';
  registry: string;
  nuget: string;
  packages?: string;
}

export function setupCommand(context: CliContext): Command {
  const command = new Command('setup')
    .description('fetch ONNX Runtime for this machine; the VS Code extension does it where the runner is new')
    .option('--out <path>', 'new folder for it')
    .option('--pack', 'make a .tar.gz of it, to be unpacked elsewhere')
    .option('--platform <name>', 'of the machine it is for', `${process.platform}-${process.arch}`)
    .option('--plan', 'only say what would be fetched')
    .addOption(new Option('--provider <name>', 'what it computes with').choices(['cpu', 'cuda12']).default('cpu'))
    .option('--registry <url>', 'npm registry', 'https://registry.npmjs.org')
    .option('--nuget <url>', 'NuGet packages', 'https://api.nuget.org/v3-flatcontainer')
    .option('--packages <dir>', 'folder with the packages, where there is no network')
    .action((options: SetupOptions) => setup(context, options));
  return withSharedOptions(command);
}

async function setup(context: CliContext, options: SetupOptions): Promise<void> {
  const output = openOutput(context, options);
  if (options.provider === 'cuda12' && options.platform !== 'linux-x64') {
    throw new TuneyardError('platform_unsupported', 'ONNX Runtime has CUDA for Linux on x64 only; use --provider cpu.');
  }
  const { engineName, packageFiles, setUpEngine } = await import('../../setup/onnxRuntime');
  if (options.plan) {
    const packages = packageFiles(options);
    output.data({ name: engineName(options.provider), packages });
    for (const { url } of packages) output.print(url);
    return;
  }
  if (options.out === undefined) throw new TuneyardError('usage', 'where to? Name a new folder with --out.');
  const out = resolve(options.out);
  const interrupts = listenForInterrupts();
  let told = 0;
  try {
    await setUpEngine({
      out,
      pack: options.pack === true,
      platform: options.platform,
      provider: options.provider,
      registry: options.registry,
      nuget: options.nuget,
      ...(options.packages !== undefined && { packages: resolve(options.packages) }),
      signal: interrupts.signal,
      onProgress: (file, bytes, total) => {
        output.status(`Fetching ${file} …`);
        if (performance.now() - told < PROGRESS_MS && bytes !== total) return;
        told = performance.now();
        output.data({ type: 'progress', file, bytes, ...(total !== undefined && { total }) });
      },
    });
    output.status('');
    output.data({ type: 'result', path: out });
    output.print(`ONNX Runtime is in ${out}`);
  } finally {
    interrupts.dispose();
  }
}

const PROGRESS_MS = 200;
