import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { MpiFamily } from './mpi';

export interface MpiLauncher {
  program: string;
  family: MpiFamily;
  /** "mpirun (Open MPI) 4.1.4" */
  version: string;
}

/** `mpirun`, or what `TUNEYARD_MPIRUN` names in its place; Open MPI or one of MPICH's family. Undefined where there is none. */
export async function findMpi(): Promise<MpiLauncher | undefined> {
  const named = process.env.TUNEYARD_MPIRUN;
  for (const program of named === undefined ? ['mpirun', 'mpiexec'] : [named]) {
    const said = await promisify(execFile)(program, ['--version'], { timeout: 20_000 }).then(
      ({ stdout }) => stdout,
      () => undefined,
    );
    if (said === undefined) continue;
    const version = said.trim().split('\n')[0]!;
    if (/Open MPI|OpenRTE|PRRTE/i.test(said)) return { program, family: 'openmpi', version };
    const release = /Version:\s+(\S+)/.exec(said)?.[1];
    if (/HYDRA|MPICH|Intel\(R\) MPI|MVAPICH/i.test(said)) {
      return { program, family: 'mpich', version: release === undefined ? version : `MPICH ${release}` };
    }
  }
  return undefined;
}
