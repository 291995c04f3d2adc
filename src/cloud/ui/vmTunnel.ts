/** What the connection to a VM without an address goes through: our own program, started by SSH. */
import type { TunnelCommand } from '../keys';
import { cloudEnvironment } from './cloudSettings';

/** @param program `remote-runner/bin/tuneyard.mjs` of the extension */
export function vmTunnel(program: string): TunnelCommand {
  return ({ project, zone, name }, port) => {
    const words = [program, 'vm', 'proxy', name, '--project', project, '--zone', zone, '--port', String(port)];
    // Where there is no env, what starts it has to be Node already.
    if (process.platform === 'win32') return [process.execPath, ...words];
    const environment = { ...cloudEnvironment(), ELECTRON_RUN_AS_NODE: '1' };
    const set = Object.entries(environment)
      .filter(([name]) => name.startsWith('TUNEYARD_GCE_') || name === 'ELECTRON_RUN_AS_NODE')
      .map(([name, value]) => `${name}=${value}`);
    return ['env', ...set, process.execPath, ...words];
  };
}
