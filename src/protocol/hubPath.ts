/**
 * How a recipe names a dataset on the hub: `hf://datasets/OWNER/NAME`, where wanted with `@REVISION` behind it, and `/FILE`
 * or a pattern of files behind that, as `HfFileSystem` of huggingface_hub writes it. A slash in a revision is written %2F.
 */
import { TuneyardError } from './errors';

export interface HubPath {
  /** `datasets/OWNER/NAME`, or `datasets/NAME`. */
  repo: string;
  revision?: string;
  /** A file of the repository, or a pattern with `*`. */
  file?: string;
}

const PREFIX = 'hf://';
const SHAPE = /^hf:\/\/(datasets\/[a-zA-Z0-9][\w.-]*\/[a-zA-Z0-9_][\w.-]*)(?:@([^/\s]+))?(?:\/(.*))?$/;

export const isHubPath = (path: string): boolean => path.startsWith(PREFIX);

/** @throws TuneyardError `hub_failed` where it is no such path */
export function parseHubPath(path: string): HubPath {
  const [, repo, revision, file] = SHAPE.exec(path) ?? [];
  const isPlain = repo !== undefined && !/\.\.|--|[.-](\/|$)/.test(repo) && !file?.split('/').includes('..');
  if (!isPlain) {
    const what = `"${path}" names no dataset on the hub: write hf://datasets/OWNER/NAME, or hf://datasets/OWNER/NAME/FILE.`;
    throw new TuneyardError('hub_failed', what);
  }
  return {
    repo,
    ...(revision !== undefined && { revision: decoded(revision) }),
    ...(file !== undefined && file !== '' && { file }),
  };
}

export function hubPathText({ repo, revision, file }: HubPath): string {
  const at = revision === undefined ? '' : `@${encodeURIComponent(revision)}`;
  return `${PREFIX}${repo}${at}${file === undefined ? '' : `/${file}`}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
