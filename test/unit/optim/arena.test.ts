import { TuneyardError } from '@protocol/errors';
import { view } from '@runner/engine/engine';
import { Arena, layoutArena } from '@runner/train/arena';
import { describe, expect, it } from 'vitest';
import { engine, newBuilder } from './support';

const SPECS = [
  { name: 'norm', shape: [20], decay: false },
  { name: 'weight', shape: [3, 11], decay: true },
  { name: 'scale', shape: [], decay: false },
  { name: 'head', shape: [2, 8], decay: true },
];

describe('layoutArena', () => {
  it('puts what decays in front and begins every tensor at a cache line', () => {
    const { size, decayed, tensors } = layoutArena(SPECS);
    expect(tensors.map(({ name, offset, size: floats }) => [name, offset, floats])).toEqual([
      ['weight', 0, 33],
      ['head', 48, 16],
      ['norm', 64, 20],
      ['scale', 96, 1],
    ]);
    expect({ size, decayed }).toEqual({ size: 112, decayed: 64 });
  });

  it('refuses two tensors of one name, of which one would be lost', () => {
    expect(() => layoutArena([...SPECS, SPECS[0]!])).toThrow(/norm/);
  });
});

describe('Arena', () => {
  it('gives tensors as views into one buffer, the same view each time', () => {
    const arena = new Arena(layoutArena(SPECS));
    arena.slice('head').fill(7);
    expect(arena.data.indexOf(7)).toBe(48);
    expect(arena.data.lastIndexOf(7)).toBe(63);
    expect(arena.view('weight').shape).toEqual([3, 11]);
    expect(arena.view('weight')).toBe(arena.view('weight'));
    expect(arena.view('head').data[0]).toBe(7);
    expect(() => arena.view('missing')).toThrow(/missing/);
  });

  it('holds more than 4 GiB, and the engine works on what lies behind', async () => {
    // Memory that nobody touches is not taken.
    const arena = new Arena(
      layoutArena([
        { name: 'large', shape: [1100, 2 ** 20], decay: true },
        { name: 'behind', shape: [40], decay: false },
      ]),
    );
    arena.slice('behind').fill(1.5);
    const g = newBuilder('double');
    const x = g.input('x', 'float32', [40]);
    g.output('y', g.mul(x, 2));
    const executable = await engine.compile(g.graph);
    const behind = arena.view('behind');
    await executable.run({ x: behind }, { y: behind });
    await executable.release();
    expect(arena.data[1100 * 2 ** 20 + 39]).toBe(3);
    expect(view(arena.data.subarray(39, 40), [1]).data[0]).toBe(0);
  });

  it('says how much memory it would need where that cannot be had', () => {
    const layout = layoutArena([{ name: 'x', shape: [2 ** 20, 2 ** 20], decay: true }]);
    expect(() => new Arena(layout)).toThrow(TuneyardError);
    expect(() => new Arena(layout)).toThrow(/4096\.0 GiB/);
  });
});
