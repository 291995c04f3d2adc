/**
 * Keeps onnxruntime-node 1.29 from copying results. Its `run` writes outputs into the memory that it was given for
 * them, and then still copies each one into a new ArrayBuffer, which nobody here looks at: for a training step that is
 * all gradients, weights and moments over again, in time (page faults more than copying) and in peak memory.
 *
 * Its loop over the results goes in the order of the model's outputs and throws at the first that is not a tensor. So
 * a model gets an empty sequence as its first output: everything has been computed by then, nothing has been copied,
 * and `run` rejects with a message that no failing graph gives. A version that copies no more, or learns to return
 * sequences, works as well: then `run` simply resolves.
 */
import onnxProto from 'onnx-proto';

const NAME = 'without_results';
const REJECTION = 'Non tensor type is temporarily not supported';

/** To be among the fetches of a model from {@link withoutResults}. */
export const WITHOUT_RESULTS: Readonly<Record<string, null>> = { [NAME]: null };

/** A serialised model whose first output is an empty sequence. */
export function withoutResults(model: Uint8Array): Uint8Array {
  const { GraphProto, ModelProto, TensorProto } = onnxProto.onnx;
  const elemType = { tensorType: { elemType: TensorProto.DataType.FLOAT } };
  const graph = GraphProto.create({
    node: [{ opType: 'SequenceEmpty', name: NAME, input: [], output: [NAME] }],
    output: [{ name: NAME, type: { sequenceType: { elemType } } }],
  });
  // Protocol buffers merge what is written one behind the other: these lists come first, the model's follow.
  const prefix = ModelProto.encode(ModelProto.create({ graph })).finish();
  const whole = new Uint8Array(prefix.length + model.length);
  whole.set(prefix);
  whole.set(model, prefix.length);
  return whole;
}

/** Whether a run computed everything and stopped where the results would have been copied. */
export function isWithoutResults(error: unknown): boolean {
  return error instanceof Error && error.message.includes(REJECTION);
}
