/** What was used last, remembered for proposals: models everywhere, hosts by workspace and recipe. */
import type { Memento } from 'vscode';

const MODELS = 'recipes.models';
const HOSTS = 'recipes.hosts';
const MOST_MODELS = 5;
const MOST_HOSTS = 200;
/** Stands for "any recipe of this workspace". */
const ANY = '';

export class Recent {
  constructor(
    private readonly everywhere: Memento,
    private readonly workspace: Memento,
  ) {}

  /** Model folders and hub names, the last used first. */
  get models(): readonly string[] {
    return this.everywhere.get<string[]>(MODELS, []);
  }

  async useModel(model: string): Promise<void> {
    await this.everywhere.update(
      MODELS,
      [model, ...this.models.filter((other) => other !== model)].slice(0, MOST_MODELS),
    );
  }

  /** The host a recipe was started on last, else any recipe of the workspace. */
  host(recipe?: string): string | undefined {
    const hosts = this.workspace.get<Record<string, string>>(HOSTS, {});
    return hosts[recipe ?? ANY] ?? hosts[ANY];
  }

  async useHost(host: string, recipe: string): Promise<void> {
    const old = Object.entries(this.workspace.get<Record<string, string>>(HOSTS, {})).filter(
      ([key]) => key !== recipe && key !== ANY,
    );
    const kept = old.slice(-MOST_HOSTS);
    await this.workspace.update(HOSTS, Object.fromEntries([...kept, [recipe, host], [ANY, host]]));
  }
}
