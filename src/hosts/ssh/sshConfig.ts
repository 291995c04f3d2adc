/** The SSH configuration of this machine: every file of it, as OpenSSH reads them. `ssh-config` reads the single lines. */
import { readdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join, parse as parsePath, sep } from 'node:path';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import SSHConfig from 'ssh-config';
import { isPlain, matches, matchesList } from './patternList';

/** As many files deep as OpenSSH goes. */
const MAX_DEPTH = 16;

/** What was said, and where. */
export interface ConfigValue {
  /** The words; the whole text where the keyword takes a text. */
  words: string[];
  file: string;
  line: number;
}

/** By keyword in small letters. What may be said several times (IdentityFile) has each; else the first counts. */
export type ConfigValues = Map<string, ConfigValue[]>;

type Node =
  | { kind: 'option'; keyword: string; value: ConfigValue }
  | { kind: 'block'; patterns?: string[]; applies(context: Context): boolean; nodes: Node[] }
  | { kind: 'include'; nodes: Node[] };

interface Context {
  alias: string;
  user: string | undefined;
  values: ConfigValues;
}

const REPEATED = new Set(['identityfile', 'certificatefile', 'sendenv', 'setenv']);
/** Their value is the rest of the line, quotes and all. */
const TEXT = /^\s*(proxycommand|localcommand|remotecommand|knownhostscommand)\s*[\s=]\s*(.*?)\s*$/i;

export class SshConfig {
  /** One for each line that cannot be read; the rest counts all the same. */
  readonly problems: TuneyardError[] = [];
  /** Files that were read or looked for: when one changes, all is to be read again. */
  readonly files = new Set<string>();
  readonly #roots: Node[][];

  /** @param paths the user's file first. One that is not there says nothing. */
  constructor(
    paths: readonly string[],
    private readonly home: string,
  ) {
    this.#roots = paths.map((path) => this.#read(path, dirname(path), 0));
  }

  /** The hosts that are named, in the order of the files; patterns are no hosts. */
  aliases(): string[] {
    const found = new Set<string>();
    const walk = (nodes: Node[]) => {
      for (const node of nodes) {
        if (node.kind === 'option') continue;
        if (node.kind === 'block') for (const each of node.patterns ?? []) if (isPlain(each)) found.add(each);
        walk(node.nodes);
      }
    };
    this.#roots.forEach(walk);
    return [...found];
  }

  /** What is said about a host. @param user who logs in, where that is known before */
  valuesOf(alias: string, user?: string): ConfigValues {
    const context: Context = { alias, user, values: new Map() };
    for (const nodes of this.#roots) evaluate(nodes, context);
    return context.values;
  }

  #read(path: string, base: string, depth: number): Node[] {
    this.files.add(path);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') {
        this.#problem(path, undefined, l10n.t('This part of the SSH configuration cannot be read: {0}.', message));
      }
      return [];
    }
    const nodes: Node[] = [];
    let current = nodes;
    for (const [index, source] of text.split(/\r?\n/).entries()) {
      const line = index + 1;
      try {
        const read = readLine(source);
        if (read === undefined) continue;
        const { keyword, words } = read;
        if (keyword === 'host' || keyword === 'match') {
          const block = keyword === 'host' ? hostBlock(words) : matchBlock(words);
          nodes.push(block);
          current = block.nodes;
        } else if (keyword === 'include') {
          current.push({ kind: 'include', nodes: this.#include(words, base, depth, path, line) });
        } else current.push({ kind: 'option', keyword, value: { words, file: path, line } });
      } catch (error) {
        this.#problem(path, line, error instanceof BadLine ? error.message : l10n.t('This line cannot be read.'));
        // What follows must not fall to the block before
        if (/^\s*(host|match)\b/i.test(source)) current = [];
      }
    }
    return nodes;
  }

  #include(patterns: string[], base: string, depth: number, file: string, line: number): Node[] {
    if (depth + 1 >= MAX_DEPTH) {
      this.#problem(file, line, l10n.t('Include goes too deep: does a file include itself?'));
      return [];
    }
    const files = patterns.flatMap((pattern) => {
      const path = pattern.startsWith('~/') ? join(this.home, pattern.slice(2)) : pattern;
      return this.#glob(isAbsolute(path) ? path : join(base, path));
    });
    return files.flatMap((each) => this.#read(each, base, depth + 1));
  }

  /** The files of a pattern, in order of their names. */
  #glob(pattern: string): string[] {
    if (!/[*?]/.test(pattern)) return [pattern];
    const { root } = parsePath(pattern);
    let found = [root];
    for (const part of pattern.slice(root.length).split(/[\\/]/)) {
      if (!/[*?]/.test(part)) {
        found = found.map((folder) => join(folder, part));
        continue;
      }
      found = found.flatMap((folder) => {
        this.files.add(folder + (folder.endsWith(sep) ? '' : sep));
        return namesIn(folder)
          .filter((name) => matches(part, name) && (part.startsWith('.') || !name.startsWith('.')))
          .map((name) => join(folder, name));
      });
    }
    return found;
  }

  #problem(file: string, line: number | undefined, what: string): void {
    const known = this.problems.some(({ place }) => place?.file === file && place.line === line);
    if (!known) this.problems.push(new TuneyardError('ssh_config_invalid', what, { place: { file, line } }));
  }
}

class BadLine extends Error {}

function readLine(source: string): { keyword: string; words: string[] } | undefined {
  const text = TEXT.exec(source);
  if (text) return { keyword: text[1]!.toLowerCase(), words: [text[2]!] };
  if (/^\s*(#|$)/.test(source)) return undefined;
  const keyword = /^\s*"?([A-Za-z0-9]+)/.exec(source)?.[1];
  if (keyword === undefined) throw new BadLine(l10n.t('A keyword was expected here.'));
  if (/^\s*"?[A-Za-z0-9]+"?[\s=]*(#.*)?$/.test(source)) throw new BadLine(l10n.t('{0} needs a value.', keyword));
  let line: ReturnType<typeof SSHConfig.parse>[number] | undefined;
  try {
    [line] = SSHConfig.parse(source);
  } catch {
    throw new BadLine(l10n.t('A quotation mark or a value is missing.'));
  }
  if (line === undefined || !('param' in line)) return undefined;
  const words = typeof line.value === 'string' ? [line.value] : line.value.map(({ val }) => val);
  return { keyword: keyword.toLowerCase(), words };
}

function hostBlock(patterns: string[]): Extract<Node, { kind: 'block' }> {
  return { kind: 'block', patterns, applies: ({ alias }) => matchesList(patterns, alias), nodes: [] };
}

/**
 * Of the criteria, those that say something about the host or the user count. `exec` runs no command here, and there is
 * one pass only: neither it nor `final` and `canonical` ever apply.
 */
function matchBlock(words: string[]): Extract<Node, { kind: 'block' }> {
  const criteria: ((context: Context) => boolean)[] = [];
  for (let index = 0; index < words.length; ) {
    const negated = words[index]!.startsWith('!');
    const keyword = words[index]!.slice(negated ? 1 : 0).toLowerCase();
    index += 1;
    if (keyword === 'all') {
      criteria.push(() => !negated);
      continue;
    }
    if (keyword === 'final' || keyword === 'canonical') {
      criteria.push(() => false);
      continue;
    }
    const argument = words[index];
    index += 1;
    if (argument === undefined) break;
    const subject = SUBJECTS[keyword];
    criteria.push((context) => {
      if (subject === undefined) return false;
      return matchesList(argument.split(','), subject(context)) !== negated;
    });
  }
  return { kind: 'block', applies: (context) => criteria.every((criterion) => criterion(context)), nodes: [] };
}

const SUBJECTS: Record<string, (context: Context) => string> = {
  host: ({ alias, values }) => (values.get('hostname')?.[0]?.words[0] ?? '%h').replaceAll('%h', alias),
  originalhost: ({ alias }) => alias,
  user: ({ user, values }) => user ?? values.get('user')?.[0]?.words[0] ?? localUser(),
  localuser: () => localUser(),
};

function evaluate(nodes: Node[], context: Context): void {
  for (const node of nodes) {
    if (node.kind === 'option') set(context.values, node.keyword, node.value);
    else if (node.kind === 'include' || node.applies(context)) evaluate(node.nodes, context);
  }
}

function set(values: ConfigValues, keyword: string, value: ConfigValue): void {
  // Whichever of the two is said first, the other one does not count
  if (keyword === 'proxycommand' && values.has('proxyjump')) return;
  if (keyword === 'proxyjump' && values.has('proxycommand')) return;
  const said = values.get(keyword);
  if (said === undefined) values.set(keyword, [value]);
  else if (REPEATED.has(keyword)) said.push(value);
}

export function localUser(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env.USER ?? process.env.USERNAME ?? '';
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
