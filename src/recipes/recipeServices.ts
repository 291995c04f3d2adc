/** What the commands on recipes share. */
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { LocalRunner } from './localRunner';
import { Recent } from './recent';

export interface RecipeServices extends Services {
  local: LocalRunner;
  recent: Recent;
}

const made = new WeakMap<Services, RecipeServices>();

export function recipeServices(services: Services): RecipeServices {
  const known = made.get(services);
  if (known) return known;
  const { context } = services;
  const fresh: RecipeServices = {
    ...services,
    local: new LocalRunner(join(context.extensionPath, 'remote-runner', 'bin', 'tuneyard.mjs'), hubEndpoint),
    recent: new Recent(context.globalState, context.workspaceState),
  };
  made.set(services, fresh);
  return fresh;
}

export function hubEndpoint(): string {
  return vscode.workspace.getConfiguration('tuneyard').get<string>('hubEndpoint') || 'https://huggingface.co';
}
