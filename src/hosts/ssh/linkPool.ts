/**
 * The connections of a host: one, and further ones only where the server allows fewer channels on one than are needed
 * (`MaxSessions`). Where no further one can be had without asking a person, what comes late waits its turn.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { SFTPWrapper } from 'ssh2';
import { onAbort, reasonOf, within } from '../limits';
import { type Link, NoMoreChannels, type Session } from './link';

const MAX_LINKS = 4;
/** So long after a channel has closed the server may still count it; as often it is asked again. */
const LINGER_MS = 10_000;
const AGAIN_MS = 100;
/** So long a refusal holds; places on the server come free without our hearing of it. */
const REFUSAL_MS = 5000;

/** A further connection that nobody uses any more is kept for so long. */
const IDLE_MS = 5000;

interface Lane {
  link: Link;
  /** Channels that are open or being opened. */
  taken: number;
  opened: number;
  /** As many as the server allows, as far as it refused one lately. */
  limit: number;
  refused: number;
  /** When the last of its channels closed. */
  closed: number;
}

export class LinkPool {
  readonly #lanes: Lane[] = [];
  readonly #waiting = new Set<() => void>();
  #further: Promise<void> | undefined;
  #noFurther = false;

  constructor(
    private readonly label: string,
    readonly primary: Link,
    private readonly connectFurther: () => Promise<Link>,
  ) {
    this.#add(primary);
    primary.ended.addEventListener('abort', () => {
      for (const { link } of [...this.#lanes]) link.close(primary.ended.reason);
    });
  }

  /** Opens a channel for a command; the place is given back when the channel closes. */
  exec(command: string, signal?: AbortSignal): Promise<Session & { link: Link }> {
    return this.#open(async (link, give) => {
      const session = await link.exec(command, signal);
      session.channel.once('close', give);
      return { ...session, link };
    }, signal);
  }

  sftp(signal?: AbortSignal): Promise<{ sftp: SFTPWrapper; link: Link }> {
    return this.#open(async (link, give) => {
      const sftp = await link.sftp(signal);
      sftp.once('close', give);
      return { sftp, link };
    }, signal);
  }

  async #open<T>(open: (link: Link, give: () => void) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (;;) {
      const lane = await this.#take(signal);
      try {
        let given = false;
        const give = () => {
          if (given) return;
          given = true;
          lane.opened -= 1;
          lane.closed = performance.now();
          this.#give(lane);
        };
        const opened = await open(lane.link, give);
        lane.opened += 1;
        lane.link.ended.addEventListener('abort', give, { once: true });
        return opened;
      } catch (error) {
        if (!(error instanceof NoMoreChannels)) {
          this.#give(lane);
          throw error;
        }
        // What was opened is what the server allows
        lane.limit = lane.opened;
        lane.refused = performance.now();
        const hopeless = lane.opened === 0 && lane.taken === 1;
        this.#give(lane);
        if (hopeless && performance.now() - lane.closed < LINGER_MS) await this.#pause(signal);
        else if (hopeless) {
          throw new TuneyardError(
            'remote_failed',
            l10n.t('{0} allows no commands over SSH: {1}.', this.label, error.message),
            {
              cause: error,
            },
          );
        }
      }
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<Lane> {
    for (;;) {
      if (signal?.aborted) throw reasonOf(signal);
      if (this.primary.ended.aborted) throw reasonOf(this.primary.ended);
      const free = this.#lanes.find(hasRoom);
      if (free) {
        free.taken += 1;
        return free;
      }
      if (this.#lanes.length < MAX_LINKS && !this.#noFurther) await within(this.#addFurther(), { signals: [signal] });
      else await this.#turn(signal);
    }
  }

  #addFurther(): Promise<void> {
    this.#further ??= this.connectFurther()
      .then(
        (link) => this.#add(link),
        () => {
          this.#noFurther = true;
        },
      )
      .finally(() => {
        this.#further = undefined;
      });
    return this.#further;
  }

  #add(link: Link): void {
    const lane: Lane = {
      link,
      taken: 0,
      opened: 0,
      limit: Number.POSITIVE_INFINITY,
      refused: 0,
      closed: Number.NEGATIVE_INFINITY,
    };
    this.#lanes.push(lane);
    const remove = () => {
      this.#lanes.splice(this.#lanes.indexOf(lane), 1);
      this.#wake();
    };
    if (this.primary.ended.aborted && link !== this.primary) link.close(this.primary.ended.reason);
    if (link.ended.aborted) remove();
    else link.ended.addEventListener('abort', remove, { once: true });
  }

  #give(lane: Lane): void {
    lane.taken -= 1;
    if (lane.taken === 0 && lane.link !== this.primary) {
      setTimeout(() => lane.taken > 0 || lane.link.close(), IDLE_MS).unref();
    }
    this.#wake();
  }

  #pause(signal: AbortSignal | undefined): Promise<void> {
    return within(delay(AGAIN_MS), { signals: [signal, this.primary.ended] });
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        forget();
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(() => wake(), REFUSAL_MS);
      const forget = signal === undefined ? () => {} : onAbort(signal, () => queueMicrotask(wake));
      this.#waiting.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

function hasRoom({ taken, limit, refused }: Lane): boolean {
  return taken < Math.max(limit, 1) || performance.now() - refused > REFUSAL_MS;
}
