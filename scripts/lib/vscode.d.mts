/** For tests, which are TypeScript. */
export function installVsCode(say?: (line: string) => void): Promise<string | undefined>;
export function startVsCode(options: {
  dir: string;
  vsix: string;
  home?: string;
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
  source?: string;
}): Promise<{ port: number; home: string; close(): Promise<void> }>;
export function findChromium(say?: (line: string) => void): Promise<{ path: string } | { missing: string }>;
/** Whether VS Code writes logs: that part of it has to be compiled, which not every machine can. */
export function writesLogs(): boolean;
