/** A server for tests: what it was asked, what it answers, and its event streams. */
import { ServerConnection } from '@jupyterlab/services';

import { Api } from '../request';
import { ICellView } from '../tokens';

/** A stream that a page follows. */
export interface IStream {
  folders: string[];
  send: (data: object) => void;
  /** Give a sign of life. */
  beat: () => void;
  /** Cut it off. */
  end: () => void;
  aborted: boolean;
}

/** Answers requests as desipipe's server extension does. */
export class FakeServer {
  /** The cell's summary, or the status of a refusal; `0`: no answer at all. */
  cell: ICellView | number = 404;
  /** States of the task cells of a notebook. */
  cells: object = { cells: [], shown: [] };
  /** Status of the answer to actions. */
  refuse = 0;
  /** Whether event streams can be opened; else the status of the refusal. */
  events: true | number = true;
  /** Whether requests get no answer, for ever. */
  hangs = false;
  readonly asked: string[] = [];
  readonly bodies: Record<string, unknown>[] = [];
  readonly streams: Stream[] = [];
  /** Addresses of the sockets that were opened, or refused. */
  readonly sockets: string[] = [];

  readonly api = new Api(
    ServerConnection.makeSettings({
      baseUrl: 'http://localhost/prefix/',
      appendToken: true,
      token: 'secret',
      wsUrl: 'ws://localhost/prefix/',
      fetch: request => this._answer(request as Request),
      WebSocket: fakeSockets(
        url => {
          this.sockets.push(url);
          return this.events === true;
        },
        stream => this.streams.push(stream)
      )
    })
  );

  /** How often a path was asked. */
  count(path: string): number {
    return this.asked.filter(url => url.includes(`/desipipe/api/${path}`))
      .length;
  }

  /** The stream that is followed now. */
  get stream(): Stream {
    return this.streams[this.streams.length - 1];
  }

  private async _answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    // The settings add a number that keeps caches out.
    const search = url.search.replace(/[?&]\d+$/, '');
    this.asked.push(`${request.method} ${url.pathname}${search}`);
    expect(url.pathname).toMatch(/^\/prefix\/desipipe\/api\//);
    expect(request.headers.get('Authorization')).toBe('token secret');
    if (this.hangs) {
      return new Promise(() => undefined);
    }
    if (url.pathname.endsWith('/cell')) {
      return typeof this.cell === 'number'
        ? refusal(this.cell)
        : answer(this.cell);
    }
    if (url.pathname.endsWith('/cells')) {
      return answer(this.cells);
    }
    if (url.pathname.includes('/actions/')) {
      this.bodies.push(JSON.parse(await request.text()));
      return this.refuse ? refusal(this.refuse) : answer({});
    }
    // Without the name of a queue it is refused.
    return refusal(this.events === true ? 400 : this.events);
  }
}

/**
 * A class of sockets for tests.
 *
 * @param opens - whether a socket opens that is made at an address
 * @param asked - called with the stream when a page says what it follows
 */
export function fakeSockets(
  opens: (url: string) => boolean,
  asked: (stream: Stream) => void
): typeof WebSocket {
  class Socket implements ISocket {
    onopen: (() => void) | null = null;
    onmessage: ((message: { data: string }) => void) | null = null;
    onclose: (() => void) | null = null;

    constructor(url: string) {
      const isOpen = opens(url);
      setTimeout(() => (isOpen ? this.onopen?.() : this.onclose?.()));
    }

    send(text: string): void {
      this._stream = new Stream(this, JSON.parse(text).queue);
      asked(this._stream);
    }

    close(): void {
      if (this._stream) {
        this._stream.aborted = true;
      }
    }

    private _stream: Stream | null = null;
  }
  return Socket as unknown as typeof WebSocket;
}

interface ISocket {
  onmessage: ((message: { data: string }) => void) | null;
  onclose: (() => void) | null;
}

/** A stream that a page follows. */
export class Stream implements IStream {
  constructor(
    readonly socket: ISocket,
    readonly folders: string[]
  ) {}

  aborted = false;

  send(data: object): void {
    const text = JSON.stringify({ event: 'queue', data });
    setTimeout(() => this.socket.onmessage?.({ data: text }));
  }

  beat(): void {
    this.socket.onmessage?.({ data: '{"event": "beat"}' });
  }

  end(): void {
    this.socket.onclose?.();
  }
}

function answer(content: object): Response {
  return new Response(JSON.stringify(content));
}

function refusal(status: number): Response {
  if (!status) {
    throw new TypeError('Failed to fetch');
  }
  const content =
    status === 404
      ? '<html>no such page</html>'
      : JSON.stringify({ error: 'SomeError', message: 'It does not work.' });
  return new Response(content, { status });
}

/** Wait until something holds. */
export async function until(
  condition: () => boolean,
  what: string
): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`waited in vain until ${what}`);
    }
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

/** Wait until nothing more happens of what is under way. */
export function settle(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 60));
}
