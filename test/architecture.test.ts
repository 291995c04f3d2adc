/**
 * The one-way street between the programs: webview → src/protocol ← remote-runner, and the extension host (the rest of
 * src/) → src/protocol. Imports are read from the syntax tree, types and dynamic imports included.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { posix, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'jsonc-parser';
import { parseSync } from 'oxc-parser';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(`${ROOT}/${path}`, 'utf8');
const dependencies = (manifest: string): string[] => Object.keys(JSON.parse(read(manifest)).dependencies ?? {});

type Program = 'protocol' | 'host' | 'webview' | 'runner';

interface Rule {
  /** Other programs whose files it may import. */
  programs: Program[];
  /** Packages it may import. */
  packages: string[];
  /** Whether it may import Node's own modules. */
  node: boolean;
}

const RUNNER_ONLY = ['onnxruntime-node', 'onnxruntime-common', 'koffi'];
const PANEL_ONLY = ['chart.js', 'lit', '@vscode/webview-ui-toolkit'];
const HOST_ONLY = ['vscode', 'ssh2', '@google-cloud/compute'];
const except = (packages: string[], ...never: string[][]) => packages.filter((name) => !never.flat().includes(name));

const RULES: Record<Program, Rule> = {
  protocol: { programs: [], packages: ['zod', 'vscode-jsonrpc'], node: false },
  host: {
    programs: ['protocol'],
    packages: ['vscode', ...except(dependencies('package.json'), RUNNER_ONLY, PANEL_ONLY)],
    node: true,
  },
  webview: {
    programs: ['protocol'],
    packages: except(dependencies('webview/package.json'), RUNNER_ONLY, HOST_ONLY),
    node: false,
  },
  runner: {
    programs: ['protocol'],
    packages: except(dependencies('remote-runner/package.json'), PANEL_ONLY, HOST_ONLY),
    node: true,
  },
};

function programOf(path: string): Program | undefined {
  if (path.startsWith('src/protocol/')) return 'protocol';
  if (path.startsWith('src/')) return 'host';
  if (path.startsWith('webview/')) return 'webview';
  if (path.startsWith('remote-runner/')) return 'runner';
  return undefined;
}

/** Every module that a source names: imports, re-exports, `import()`, `import('x').Type`, `require('x')`. */
function importsOf(path: string, source: string): string[] {
  const found: string[] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { type, source: from, expression, callee, arguments: args } = node as Record<string, unknown>;
    if (/^(Import|Export|TSImport)/.test(String(type))) found.push(...literal(from));
    if (type === 'TSExternalModuleReference') found.push(...literal(expression));
    if (type === 'CallExpression' && (callee as { name?: string }).name === 'require') {
      found.push(...literal((args as unknown[])[0]));
    }
    Object.values(node).forEach(visit);
  };
  visit(parseSync(path, source).program);
  return found;
}

function literal(node: unknown): string[] {
  const value = (node as { value?: unknown } | null | undefined)?.value;
  return typeof value === 'string' ? [value] : [];
}

/** What is wrong with a set of files, one sentence a fault; empty where all is well. */
function faults(files: Map<string, string>): string[] {
  const found: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [path, source] of files) {
    const program = programOf(path)!;
    const rule = RULES[program];
    const edges: string[] = [];
    graph.set(path, edges);
    if (/^\/\/\/\s*<reference\s+(lib|types)=/m.test(source)) found.push(`${path} pulls in types behind its tsconfig`);
    for (const name of importsOf(path, source)) {
      const target = fileOf(path, name);
      if (target !== undefined) {
        const to = programOf(target);
        if (to !== program && !(to && rule.programs.includes(to))) found.push(`${path} (${program}) imports ${target}`);
        const file = [target, `${target}.ts`, `${target}/index.ts`].find((candidate) => files.has(candidate));
        if (file) edges.push(file);
      } else if (name.startsWith('node:') || builtinModules.includes(name)) {
        if (!rule.node) found.push(`${path} (${program}) imports Node's ${name}`);
      } else if (!rule.packages.includes(packageOf(name))) {
        found.push(`${path} (${program}) imports the package ${name}`);
      }
    }
  }
  return [...found, ...cycles(graph)];
}

/** The repository path that an import means, without its extension; undefined for packages and Node's modules. */
function fileOf(importer: string, name: string): string | undefined {
  if (name.startsWith('.')) return posix.join(posix.dirname(importer), name);
  if (name.startsWith('@protocol/')) return name.replace('@protocol/', 'src/protocol/');
  return undefined;
}

const packageOf = (name: string) =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

function cycles(graph: Map<string, string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: string[]): void => {
    const begin = trail.indexOf(path);
    if (begin >= 0) found.push(`cycle: ${[...trail.slice(begin), path].join(' → ')}`);
    if (begin >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
}

function repository(): Map<string, string> {
  const paths = ['src', 'webview', 'remote-runner'].flatMap((folder) => sources(folder));
  return new Map(paths.map((path) => [path, read(path)]));
}

function sources(folder: string): string[] {
  return readdirSync(`${ROOT}/${folder}`, { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.split(sep).join('/')}`)
    .filter((path) => path.endsWith('.ts') && !/\/(node_modules|dist)\//.test(path));
}

describe('the programs import only what they may', () => {
  it('in this repository', () => {
    const files = repository();
    for (const program of ['protocol', 'webview', 'runner']) {
      expect([...files.keys()].some((path) => programOf(path) === program)).toBe(true);
    }
    expect(faults(files)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['the runner taking VS Code', 'remote-runner/src/a.ts', `import type { Uri } from 'vscode';`],
    ['the runner taking an SSH client', 'remote-runner/src/a.ts', `import { Client } from 'ssh2';`],
    ['the runner reaching into the host', 'remote-runner/src/a.ts', `export * from '../../src/commands';`],
    ['the runner reaching into a panel', 'remote-runner/src/a.ts', `await import('../../webview/panels/report');`],
    ['the host taking ONNX Runtime', 'src/extension.ts', `import * as ort from 'onnxruntime-node';`],
    ['the host reaching into the runner', 'src/extension.ts', `import { main } from '../remote-runner/src/cli';`],
    ['a panel taking a module of Node', 'webview/panels/a.ts', `import { join } from 'node:path';`],
    ['a panel taking one by its old name', 'webview/panels/a.ts', `const fs = require('fs');`],
    ['a panel taking ONNX Runtime', 'webview/panels/a.ts', `type T = import('onnxruntime-node').Tensor;`],
    ['the protocol taking VS Code', 'src/protocol/a.ts', `import vscode = require('vscode');`],
    ['the protocol taking a module of Node', 'src/protocol/a.ts', `import 'node:fs';`],
    ['the protocol reaching into the host', 'src/protocol/a.ts', `import '../extension';`],
    ['the protocol calling for DOM types', 'src/protocol/a.ts', `/// <reference lib="dom" />`],
  ])('and %s would be seen', (_, path, source) => {
    expect(faults(new Map([[path, source]]))).toHaveLength(1);
  });

  it('and a cycle would be seen', () => {
    const files = new Map([
      ['remote-runner/src/a.ts', `import { b } from './b';`],
      ['remote-runner/src/b.ts', `import type { C } from './c/index';`],
      ['remote-runner/src/c/index.ts', `export { a } from '../a';`],
    ]);
    expect(faults(files)).toEqual([
      'cycle: remote-runner/src/a.ts → remote-runner/src/b.ts → remote-runner/src/c/index.ts → remote-runner/src/a.ts',
    ]);
  });

  it('and DOM types are there for the panels alone, so that no other program can use the DOM', () => {
    const lib = (path: string): string[] => parse(read(path)).compilerOptions?.lib ?? [];
    expect(lib('webview/tsconfig.json')).toContain('dom');
    for (const path of [
      'tsconfig.base.json',
      'src/protocol/tsconfig.json',
      'src/tsconfig.json',
      'remote-runner/tsconfig.json',
    ]) {
      expect(lib(path).filter((name) => name.startsWith('dom'))).toEqual([]);
    }
    expect(parse(read('src/protocol/tsconfig.json')).compilerOptions.types).toBeUndefined();
    expect(parse(read('tsconfig.base.json')).compilerOptions.types).toEqual([]);
  });
});
