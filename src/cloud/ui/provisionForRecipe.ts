/** "Provision GPU VM" from the palette: for the recipe that is open, where one is. */
import type { Estimate } from '@protocol/runner';
import { activeUri, isRecipe } from '../../recipes/pickFile';
import { recipeServices } from '../../recipes/recipeServices';
import type { Services } from '../../services';
import { provisionVm } from './provisionVm';

export async function provisionForRecipe(services: Services): Promise<void> {
  const { local } = recipeServices(services);
  const active = activeUri();
  const estimate =
    active && isRecipe(active)
      ? local.run<Estimate>(['estimate', active.fsPath], { offline: true, timeoutMs: 60_000 }).catch(() => undefined)
      : undefined;
  await provisionVm(services, estimate && { estimate });
}
