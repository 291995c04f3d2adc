/** Where data lies that is no file of this machine: on the hub, or on a host, as `scp` writes it (`NAME:/path`, `NAME:~/path`). */
import { basename } from 'node:path';
import { isHubPath } from '@protocol/hubPath';

export interface HostPath {
  /** The host's name, without `ssh:`. */
  name: string;
  /** There: absolute, or beginning with `~/`. */
  path: string;
}

/** One letter before a colon is a drive. */
const HOST_PATH = /^([\w][\w.@-]+):(\/.*|~\/.*)$/;

export function hostPath(text: string): HostPath | undefined {
  if (isHubPath(text)) return undefined;
  const [, name, path] = HOST_PATH.exec(text) ?? [];
  return name === undefined || path === undefined ? undefined : { name, path };
}

export const isElsewhere = (text: string): boolean => isHubPath(text) || hostPath(text) !== undefined;

/** What a recipe for it may be called. */
export function nameOfData(text: string): string {
  const path = hostPath(text)?.path ?? text.replace(/^hf:\/\/datasets\//, '').replace(/@[^/]*/, '');
  return basename(path).replace(/\*/g, '') || 'data';
}
