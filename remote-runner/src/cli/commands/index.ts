import type { CommandMaker } from '../context';
import { compareCommand } from './compareCommand';
import { datasetCommand } from './datasetCommand';
import { doctorCommand } from './doctorCommand';
import { estimateCommand } from './estimateCommand';
import { evalCommand } from './evalCommand';
import { exportCommand } from './exportCommand';
import { generateCommand } from './generateCommand';
import { previewCommand } from './previewCommand';
import { runsCommand } from './runsCommand';
import { serveCommand } from './serveCommand';
import { setupCommand } from './setupCommand';
import { trainCommand } from './trainCommand';
import { watchdogCommand } from './watchdogCommand';

/** Every command, in the order that `--help` lists them. */
export const commandMakers: readonly CommandMaker[] = [
  trainCommand,
  evalCommand,
  generateCommand,
  compareCommand,
  previewCommand,
  estimateCommand,
  exportCommand,
  runsCommand,
  doctorCommand,
  serveCommand,
  datasetCommand,
  setupCommand,
  watchdogCommand,
];
