/** A server for tests: what it was asked, what it answers, and its event streams. */
import { ServerConnection } from '@jupyterlab/services';

import { Api } from '../request';
import { ICellSummary } from '../tokens';

/** A stream that a page follows. */
export interface IStream {
  folders: string[];
  send: (data: object) => void;
  /** Cut it off. */
  end: () => void;
  aborted: boolean;
}

/** Answers requests as desipipe's server extension does. */
export class FakeServer {
  /** The cell's summary, or the status of a refusal; `0`: no answer at all. */
  cell: ICellSummary | number = 404;
  /** Status of the answer to actions. */
  refuse = 0;
  /** Whether event streams can be opened; else the status of the refusal. */
  events: true | number = true;
  readonly asked: string[] = [];
  readonly bodies: Record<string, unknown>[] = [];
  readonly streams: IStream[] = [];

  readonly api = new Api(
    ServerConnection.makeSettings({
      baseUrl: 'http://localhost/prefix/',
      appendToken: true,
      token: 'secret',
      fetch: request => this._answer(request as Request)
    })
  );

  /** How often a path was asked. */
  count(path: string): number {
    return this.asked.filter(url => url.includes(`/desipipe/api/${path}`))
      .length;
  }

  /** The stream that is followed now. */
  get stream(): IStream {
    return this.streams[this.streams.length - 1];
  }

  private async _answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    // The settings add a number that keeps caches out.
    const search = url.search.replace(/[?&]\d+$/, '');
    this.asked.push(`${request.method} ${url.pathname}${search}`);
    expect(url.pathname).toMatch(/^\/prefix\/desipipe\/api\//);
    expect(request.headers.get('Authorization')).toBe('token secret');
    if (url.pathname.endsWith('/cell')) {
      return typeof this.cell === 'number'
        ? refusal(this.cell)
        : answer(this.cell);
    }
    if (url.pathname.includes('/actions/')) {
      this.bodies.push(JSON.parse(await request.text()));
      return this.refuse ? refusal(this.refuse) : answer({});
    }
    if (this.events !== true) {
      return refusal(this.events);
    }
    return this._stream(url.searchParams.getAll('queue'), request.signal);
  }

  private _stream(folders: string[], signal: AbortSignal): Response {
    let controller: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start: it => {
        controller = it;
      }
    });
    const encoder = new TextEncoder();
    const stream: IStream = {
      folders,
      aborted: false,
      send: data =>
        controller.enqueue(
          encoder.encode(`event: queue\ndata: ${JSON.stringify(data)}\n\n`)
        ),
      end: () => controller.close()
    };
    signal.addEventListener('abort', () => {
      stream.aborted = true;
      controller.error(new DOMException('aborted', 'AbortError'));
    });
    this.streams.push(stream);
    return new Response(body, {
      headers: { 'Content-Type': 'text/event-stream' }
    });
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
