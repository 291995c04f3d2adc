/** A wire for {@link Peer} over whatever carries whole messages, such as postMessage. */
import {
  AbstractMessageReader,
  AbstractMessageWriter,
  createMessageConnection,
  type DataCallback,
  type Disposable,
  Emitter,
  type Message,
  type MessageConnection,
} from 'vscode-jsonrpc';

export interface MessagePort {
  post(message: unknown): void;
  onMessage(listener: (message: unknown) => void): Disposable;
}

/** The caller's program must have loaded `vscode-jsonrpc/node` or `/browser`. */
export function messageWire(port: MessagePort): MessageConnection {
  return createMessageConnection(new Reader(port), new Writer(port));
}

class Reader extends AbstractMessageReader {
  private readonly messages = new Emitter<Message>();
  private readonly subscription: Disposable;

  constructor(port: MessagePort) {
    super();
    this.subscription = port.onMessage((message) => {
      if (isRpc(message)) this.messages.fire(message);
    });
  }

  listen(callback: DataCallback): Disposable {
    return this.messages.event(callback);
  }

  override dispose(): void {
    super.dispose();
    this.subscription.dispose();
    this.messages.dispose();
  }
}

class Writer extends AbstractMessageWriter {
  constructor(private readonly port: MessagePort) {
    super();
  }

  async write(message: Message): Promise<void> {
    this.port.post(message);
  }

  end(): void {}
}

/** Other messages pass over the same port: browser extensions and VS Code itself post to a page. */
function isRpc(message: unknown): message is Message {
  return typeof message === 'object' && message !== null && 'jsonrpc' in message && message.jsonrpc === '2.0';
}
