/** A TCP proxy on loopback that treats what passes through it as bad networks do. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export type Direction = 'up' | 'down';

export interface ChaosProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections taken so far. */
  readonly accepted: number;
  /** Bytes passed on so far, to the server and from it. */
  readonly passed: Readonly<Record<Direction, number>>;
  /** Ends every connection, hard. */
  drop(): void;
  /** From now on new connections are ended at once (`refuse(false)`: taken again). */
  refuse(on?: boolean): void;
  /** Connections stay open, nothing passes any more: a cable pulled. `resume` lets what waited go on. */
  stall(): void;
  resume(): void;
  /** Holds every piece back for so long. */
  delay(milliseconds: number): void;
  /** Ends every connection once so many more bytes have passed in a direction. */
  cutAfter(bytes: number, direction: Direction): void;
  /** Stalls once so many more bytes have passed in a direction. */
  stallAfter(bytes: number, direction: Direction): void;
  dispose(): Promise<void>;
}

export async function startChaosProxy(targetPort: number): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  const passed = { up: 0, down: 0 };
  const limits: { at: number; direction: Direction; act(): void }[] = [];
  let [accepted, latency, refusing, stalled] = [0, 0, false, false];

  const drop = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const stall = () => {
    stalled = true;
    for (const socket of sockets) socket.pause();
  };
  const resume = () => {
    stalled = false;
    for (const socket of sockets) socket.resume();
  };

  function pass(from: Socket, to: Socket, direction: Direction): void {
    from.on('data', (data) => {
      let part = data;
      let reached: (() => void) | undefined;
      const limit = limits.findIndex(
        (each) => each.direction === direction && passed[direction] + data.length >= each.at,
      );
      if (limit >= 0) {
        const [{ at, act }] = limits.splice(limit, 1) as [(typeof limits)[number]];
        part = data.subarray(0, at - passed[direction]);
        reached = act;
      }
      passed[direction] += part.length;
      const send = () => {
        if (to.writable && !to.write(part)) {
          from.pause();
          to.once('drain', () => stalled || from.resume());
        }
        if (reached === drop) setImmediate(drop);
        else reached?.();
        if (part.length < data.length && reached === stall) from.unshift(data.subarray(part.length));
      };
      if (latency > 0) setTimeout(send, latency);
      else send();
    });
    from.on('end', () => setTimeout(() => to.end(), latency));
  }

  const server = createServer((client) => {
    accepted += 1;
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const target = connect(targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    pass(client, target, 'up');
    pass(target, client, 'down');
    if (stalled) stall();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const dispose = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return {
    port: (server.address() as { port: number }).port,
    get accepted() {
      return accepted;
    },
    passed,
    drop,
    refuse: (on = true) => {
      refusing = on;
    },
    stall,
    resume,
    delay: (milliseconds) => {
      latency = milliseconds;
    },
    cutAfter: (bytes, direction) => limits.push({ at: passed[direction] + bytes, direction, act: drop }),
    stallAfter: (bytes, direction) => limits.push({ at: passed[direction] + bytes, direction, act: stall }),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
