/** How ranks exchange weights and gradients: where these lie in a GPU's memory, by NCCL if it is there, else through the host's. */
import type { DeviceMemory } from '../engine/deviceMemory';
import type { ArenaExchange, Collective } from './collective';
import { loadNccl, Nccl, type NcclLibrary } from './nccl';

/**
 * The same on every rank, which all call it.
 * @returns also why gradients go through the host's memory, where they do
 * @throws TuneyardError `nccl_failed`, `mpi_failed`
 */
export async function openArenaExchange(
  collective: Collective,
  memory: DeviceMemory | undefined,
): Promise<{ exchange: ArenaExchange; obstacle?: string }> {
  if (collective.worldSize === 1 || !memory) return { exchange: collective };
  let library: NcclLibrary | undefined;
  let obstacle = 'another rank has no NCCL';
  try {
    library = loadNccl();
  } catch (error) {
    obstacle = error instanceof Error ? error.message.split('\n')[0]! : String(error);
  }
  const having = Float64Array.of(library ? 1 : 0);
  await collective.sum(having);
  if (library && having[0] === collective.worldSize) {
    return { exchange: await Nccl.open(library, collective, memory) };
  }
  return { exchange: staged(collective, memory), obstacle };
}

/** Through the host's memory. */
function staged(collective: Collective, memory: DeviceMemory): ArenaExchange {
  const own = (data: Float32Array, parts: Parameters<ArenaExchange['sumParts']>[1]) => {
    const { from, to } = parts[collective.rank]!;
    return data.subarray(from, to);
  };
  return {
    async sum(data) {
      await memory.download(data);
      await collective.sum(data);
      await memory.upload(data);
    },
    async sumParts(data, parts) {
      await memory.download(data);
      await collective.sumParts(data, parts);
      await memory.upload(own(data, parts));
    },
    async gatherParts(data, parts) {
      await memory.download(own(data, parts));
      await collective.gatherParts(data, parts);
      await memory.upload(data);
    },
  };
}
