import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The repository's root, without a slash at its end. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

/**
 * Runs a program in the repository's root with this terminal's input and output.
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean }} [options] `quiet`: show the output only where it fails
 * @returns {Promise<number>} the exit status; 128 + n where signal n ended it
 */
export function command(program, args, { env = process.env, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env,
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      // npm is a .cmd file on Windows, which only a shell can start.
      shell: process.platform === 'win32' && program === 'npm',
    });
    const output = [];
    child.stdout?.on('data', (data) => output.push(data));
    child.stderr?.on('data', (data) => output.push(data));
    // A Ctrl-C in the terminal reaches the child as well: it decides how to end, and its status becomes ours.
    const ignore = () => {};
    process.on('SIGINT', ignore);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore);
      const status = code ?? 128 + (signal === 'SIGINT' ? 2 : 15);
      if (quiet && status !== 0) process.stderr.write(Buffer.concat(output));
      resolve(status);
    });
  });
}

/**
 * Runs a script of this repository, or a tool from node_modules, with this Node.
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, quiet?: boolean }} [options]
 */
export function node(args, options) {
  return command(process.execPath, args, options);
}
