/** For tests, which are TypeScript; build.mjs itself must run on plain Node before anything is installed. */
export function build(say: (line: string) => void): Promise<boolean>;
export function buildReport(say: (line: string) => void): Promise<void>;

/** The panels' pages alone. */
export function buildPanels(say: (line: string) => void): Promise<void>;
export function bundleCompute(): Promise<string>;
