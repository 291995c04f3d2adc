/** Data for which a recipe is to be written: where the recipe goes, how it names the data, and who can look at it. */
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { hostPath, isElsewhere, nameOfData } from '../datasets/dataPath';
import { type DataLooker, HostLooker } from './hostLooker';
import { pathFrom } from './recipePaths';
import type { RecipeServices } from './recipeServices';
import { recipeName } from './recipeText';
import { withProgress } from './withProgress';

export interface DataToTune {
  /** As the runner that looks at it takes it: a path there, or `hf://…`. */
  path: string;
  /** As a recipe anywhere may name it. */
  absolute: string;
  /** As the recipe in `dir` names it. */
  written: string;
  /** Folder for the recipe. */
  dir: string;
  /** The recipe's name without its ending. */
  name: string;
  look: DataLooker;
  /** Id of the host that it lies on: a run on another one has no use for it. */
  host?: string;
  /** Whether the data itself has to be fetched for a look. */
  isHub: boolean;
}

/**
 * @param data a file of this machine, or data elsewhere as a recipe writes it
 * @throws TuneyardError what connecting to its host throws
 */
export async function dataToTune(services: RecipeServices, data: vscode.Uri | string): Promise<DataToTune> {
  const text = typeof data === 'string' ? data : data.fsPath;
  if (!isElsewhere(text)) {
    const dir = dirname(text);
    const common = { path: text, absolute: text, dir, look: services.local, isHub: false };
    return { ...common, written: pathFrom(dir, text), name: recipeName(text) };
  }
  const dir = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir();
  const common = { absolute: text, written: text, dir, name: recipeName(join(dir, nameOfData(text))) };
  const there = hostPath(text);
  if (!there) return { ...common, path: text, look: services.local, isHub: true };
  const host = `ssh:${there.name}`;
  const runner = await withProgress(there.name, (report, signal) =>
    services.runners.open(host, { signal, onProgress: report }),
  );
  const { pathOn } = await import('../runner/sync');
  return { ...common, path: await pathOn(runner.host, there), look: new HostLooker(runner), host, isHub: false };
}
