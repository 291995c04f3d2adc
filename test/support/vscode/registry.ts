/** The npm registry that this machine uses: hosts of the tests fetch ONNX Runtime from there, as those of a person do. */
import { execFileSync } from 'node:child_process';

export const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8', stdio: 'pipe' }).trim();

/** Why nothing can be fetched from it; undefined where it can. */
export async function registryMissing(): Promise<string | undefined> {
  const url = `${registry.replace(/\/$/, '')}/onnxruntime-node`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(20_000) }).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.ok ? undefined : 'needs an npm registry that can be reached';
}
