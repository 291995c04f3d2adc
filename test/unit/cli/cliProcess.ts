import { main } from '@runner/cli';

process.exitCode = await main(process.argv.slice(2));
