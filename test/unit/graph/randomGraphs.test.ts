/** Whatever a pass does to a graph, its results stay what they were: shown on random graphs, run on ONNX Runtime. */
import { Builder } from '@runner/graph/builder';
import type { Graph } from '@runner/graph/ir';
import { optimize } from '@runner/graph/passes';
import { commonSubexpressions } from '@runner/graph/passes/commonSubexpressions';
import { deadCode } from '@runner/graph/passes/deadCode';
import { foldConstants } from '@runner/graph/passes/foldConstants';
import { foldTransposes } from '@runner/graph/passes/foldTransposes';
import { fuseGemm } from '@runner/graph/passes/fuseGemm';
import { hoistRowScales } from '@runner/graph/passes/hoistRowScales';
import { printGraph } from '@runner/graph/print';
import { ops } from '@runner/ops';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomGraph } from './randomGraph';
import { runGraph } from './support';

const RUNS = 150;

const PASSES: Record<string, (graph: Graph) => Graph> = {
  deadCode,
  commonSubexpressions,
  foldConstants: (graph) => foldConstants(graph, ops),
  foldTransposes,
  hoistRowScales: (graph) => hoistRowScales(graph, (to) => new Builder(ops, to)),
  fuseGemm,
  'all of them, in order': (graph) => optimize(graph, ops),
};

describe('a graph computes the same after', () => {
  it.each(Object.entries(PASSES))('%s', async (_, pass) => {
    let changed = 0;
    await fc.assert(
      fc.asyncProperty(randomGraph, async ({ graph, feeds }) => {
        const passed = pass(graph);
        const [before, after] = [printGraph(graph), printGraph(passed)];
        if (withoutIds(before) !== withoutIds(after)) changed++;
        expect(await runGraph(passed, feeds), `${before}became\n${after}`).toEqual(await runGraph(graph, feeds));
      }),
      // The same graphs each time: a fault found in somebody else's change would be put down to that change.
      { numRuns: RUNS, seed: 1 },
    );
    // Else the graphs would not be what this pass looks for.
    expect(changed).toBeGreaterThan(RUNS / 20);
  });
});

const withoutIds = (text: string) => text.replace(/_\d+/g, '');
