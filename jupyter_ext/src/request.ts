/**
 * The only place that talks to the server.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { Action, ICellSummary, TARGETS } from './tokens';

/** What the server, or the way to it, refused. */
export class RequestError extends Error {
  /**
   * @param message - what the server says, for people
   * @param status - HTTP status; 0 if there was no answer
   * @param kind - name of desipipe's error class; empty if it is not desipipe that answered
   */
  constructor(
    message: string,
    readonly status: number,
    readonly kind: string
  ) {
    super(message);
    this.name = 'RequestError';
  }

  /** Whether it was not desipipe that answered: the server does not have it. */
  get isAbsent(): boolean {
    return this.status === 404 && !this.kind;
  }

  /** Whether asking again can't help: this server has no desipipe, or desipipe refused. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

/** One server-sent event: something happened to a queue, for better or worse. */
export interface IServerEvent {
  /** The queue, as it was asked for. */
  queue: string;
  /** What a list shows of it; or, as `error` and `message`, why it can't be read. */
  [member: string]: unknown;
}

/** A stream that says nothing for so long (ms) is dead, whatever the network says: the server says every 15 s that it is there. */
const SILENCE = 40_000;

/** The REST interface of desipipe's server extension. */
export class Api {
  constructor(readonly settings: ServerConnection.ISettings) {}

  /** Ask what there is to see. */
  async look<T>(
    path: string,
    query: Record<string, string | readonly string[]> = {}
  ): Promise<T> {
    return (await this._request(path, query)).json();
  }

  /** Have something done to a queue. */
  async order<T>(action: string, body: object): Promise<T> {
    const response = await this._request(
      `actions/${action}`,
      {},
      { method: 'POST', body: JSON.stringify(body) }
    );
    return response.json();
  }

  /** What the server knows of a cell's tasks now; of a whole queue's without what they printed. */
  async cell(summary: ICellSummary): Promise<ICellSummary> {
    const { folder, rows, first, title, kind } = summary;
    const query = { queue: folder, rows, first, title };
    return kind === 'queue'
      ? { ...(await this.look('cell', { ...query, outputs: 'false' })), kind }
      : this.look('cell', query);
  }

  /** Do something with those of a cell's tasks that it is for. */
  async act(action: Action, summary: ICellSummary): Promise<void> {
    const { folder, rows, first } = summary;
    await this.order(action, {
      queue: folder,
      rows,
      first,
      states: TARGETS[action],
      // Who retries wants it to run, also when those who would run it have ended since.
      ...(action === 'retry' && { spawn: true })
    });
  }

  /** The record of a saved notebook, as the server's nbconvert makes it: the bytes that `desipipe record` writes. */
  async record(path: string): Promise<string> {
    const place = URLExt.encodeParts(path);
    const response = await this._send(`nbconvert/desipipe_record/${place}`);
    return response.text();
  }

  /**
   * Follow queues until the stream ends or is aborted.
   *
   * By `fetch` and not by `EventSource`, which can't send the token.
   */
  async events(
    folders: readonly string[],
    onOpen: () => void,
    onEvent: (event: IServerEvent) => void,
    signal: AbortSignal
  ): Promise<void> {
    const response = await this._request(
      'events',
      { queue: folders },
      { signal, headers: { Accept: 'text/event-stream' } }
    );
    if (!response.body) {
      throw new RequestError('The server sent no stream.', 0, '');
    }
    onOpen();
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    for (;;) {
      const { value, done } = await spoken(reader);
      if (done) {
        return;
      }
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = block
          .split(/\r?\n/)
          .filter(line => line.startsWith('data:'))
          .map(line => line.slice(5).trimStart())
          .join('\n');
        if (data) {
          onEvent(JSON.parse(data));
        }
      }
    }
  }

  private async _request(
    path: string,
    query: Record<string, string | readonly string[]>,
    init: RequestInit = {}
  ): Promise<Response> {
    const search = new URLSearchParams();
    for (const [name, values] of Object.entries(query)) {
      for (const value of typeof values === 'string' ? [values] : values) {
        search.append(name, value);
      }
    }
    const place = `desipipe/api/${path}`;
    return this._send(search.toString() ? `${place}?${search}` : place, init);
  }

  private async _send(
    place: string,
    init: RequestInit = {}
  ): Promise<Response> {
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(
        URLExt.join(this.settings.baseUrl, place),
        init,
        this.settings
      );
    } catch (error) {
      throw new RequestError(`No answer from the server: ${error}`, 0, '');
    }
    if (!response.ok) {
      const text = await response.text();
      let message = `${response.status} ${response.statusText}`;
      let kind = '';
      try {
        const answer = JSON.parse(text);
        kind = answer.error ?? '';
        message = answer.message || message;
      } catch {
        // A page for people: not desipipe's answer. Where nbconvert failed, its words are in it.
        const said = /nbconvert failed: ([^<]*)/.exec(text)?.[1];
        message = said ? unescaped(said).trim() : message;
      }
      throw new RequestError(message, response.status, kind);
    }
    return response;
  }
}

/** Text that stands in HTML. */
function unescaped(text: string): string {
  return (
    new DOMParser().parseFromString(text, 'text/html').body.textContent ?? ''
  );
}

/** What comes next in a stream. Rejects when nothing comes, as when a network is cut without a word. */
async function spoken(
  reader: ReadableStreamDefaultReader<Uint8Array>
): Promise<ReadableStreamReadResult<Uint8Array>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new RequestError('The server fell silent.', 0, ''));
      void reader.cancel().catch(() => undefined); // what becomes of it is of no interest
    }, SILENCE);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}
