/** The library, loaded when the first connection needs it: it is too heavy for the start of the extension. */
export type Ssh2 = typeof import('ssh2');

let loading: Promise<Ssh2> | undefined;

export function loadSsh2(): Promise<Ssh2> {
  // CommonJS: bundled or not, what it exports is there by name or as the default
  loading ??= import('ssh2').then((module) => (module as { default?: Ssh2 }).default ?? module);
  return loading;
}
