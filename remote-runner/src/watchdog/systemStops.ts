import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Whether the machine is being shut down; systemctl answers with a status other than 0 for anything but `running`. */
export async function systemStops(): Promise<boolean> {
  const say = promisify(execFile)('systemctl', ['is-system-running'], { timeout: 2000 });
  const state = await say.then(
    ({ stdout }) => stdout,
    (error: { stdout?: string }) => error.stdout ?? '',
  );
  return state.trim() === 'stopping';
}
