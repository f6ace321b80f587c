/**
 * The only place that talks to the server.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { Action, ICellView, TARGETS } from './tokens';

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
    return (
      this.status >= 400 && this.status < 500 && !PASSING.includes(this.status)
    );
  }
}

/**
 * Refusals that pass: a request that took too long, a JupyterHub whose server is not up yet (424), too early, too many.
 */
const PASSING: readonly number[] = [408, 424, 425, 429];

/** Errors of a queue that was deleted, or cleared. */
export const GONE: readonly unknown[] = ['QueueGoneError', 'UnknownQueueError'];

/** What the stream tells of queues about which nothing else is asked until it tells more. */
const REFUSED: readonly unknown[] = [...GONE, 'PermissionDeniedError'];

/** Answers to a page whose login has ended: JupyterHub started the server again, or a password was changed. */
const LOGGED_OUT: readonly number[] = [401, 403];

/** What such answers are called: a proxy's have no name, refusals of desipipe itself have others. */
const NO_LOGIN: readonly string[] = ['', 'Unauthorized', 'Forbidden'];

const LOGIN_ENDED =
  'The server no longer accepts the login of this page. Nothing is lost: reload the page.';

/** Tasks of a cell or of a queue, as the server is asked about them. */
export type ITasks = Pick<ICellView, 'folder' | 'rows' | 'first' | 'title'> &
  Partial<Pick<ICellView, 'kind' | 'published'>>;

/** One event: something happened to a queue, for better or worse. */
export interface IServerEvent {
  /** The queue, as it was asked for. */
  queue: string;
  /** What a list shows of it; or, as `error` and `message`, why it can't be read. */
  [member: string]: unknown;
}

/** A request that gets no answer for so long (ms) has failed, whatever the network says. The longest, of nbconvert, take minutes. */
const PATIENCE = 300_000;

/** A look that gets no answer for so long (ms) has failed: what is shown then says that it is old. */
const LOOK_PATIENCE = 30_000;

/** A stream that says nothing for so long (ms) is dead, whatever the network says: the server says every 15 s that it is there. */
const SILENCE = 40_000;

/** The REST interface of desipipe's server extension. */
export class Api {
  constructor(readonly settings: ServerConnection.ISettings) {}

  /** Return the interface of the server that sent this page, which is at the root of all that can be asked for. A cookie says who asks. */
  static ofPage(): Api {
    const baseUrl = new URL('.', location.href).href;
    const wsUrl = baseUrl.replace(/^http/, 'ws');
    const settings = { baseUrl, wsUrl, token: '', appendToken: false };
    return new Api(ServerConnection.makeSettings(settings));
  }

  /** Ask what there is to see. */
  async look<T>(
    path: string,
    query: Record<string, string | readonly string[]> = {}
  ): Promise<T> {
    const refusal =
      typeof query.queue === 'string' && this._refused.get(query.queue);
    if (refusal) {
      throw refusal;
    }
    const signal = AbortSignal.timeout(LOOK_PATIENCE);
    return (await this._request(path, query, { signal })).json();
  }

  /** Forget that a queue was deleted: it is heard of again. */
  revive(folder: string): void {
    this._refused.delete(folder);
  }

  /** Ask about something that does not fit into an address; nothing is changed. */
  async ask<T>(path: string, body: object): Promise<T> {
    const signal = AbortSignal.timeout(LOOK_PATIENCE);
    const init = { method: 'POST', body: JSON.stringify(body), signal };
    return (await this._request(path, {}, init)).json();
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
  async cell(
    summary: ITasks,
    outputs = summary.kind !== 'queue'
  ): Promise<ICellView> {
    const { folder, rows, first, title, kind, published } = summary;
    const query = {
      queue: folder,
      rows,
      first,
      title,
      ...(published && { published })
    };
    const answer = await this.look<ICellView>(
      'cell',
      outputs ? query : { ...query, outputs: 'false' }
    );
    return kind === 'queue' ? { ...answer, kind } : answer;
  }

  /** Do something with those of a cell's tasks that it is for. */
  async act(action: Action, summary: ICellView): Promise<void> {
    const { folder, rows, first } = summary;
    if (action === 'start') {
      await this.order('spawn', { queue: folder });
      return;
    }
    if (action === 'resume') {
      await this.order('resume', { queue: folder, spawn: true });
      return;
    }
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
   * By WebSocket, which takes none of the six connections to a host that browsers allow for requests: pages in other tabs, and the rest of
   * this one, go on however many follow queues.
   *
   * @param folders - the queues
   * @param onOpen - called when the stream is there
   * @param onEvent - called with what happened to a queue
   * @param signal - aborts the stream
   * @returns when the server closes the stream; rejects if it was not opened, or fell silent
   */
  async events(
    folders: readonly string[],
    onOpen: () => void,
    onEvent: (event: IServerEvent) => void,
    signal: AbortSignal
  ): Promise<void> {
    const opened = await new Promise<boolean>((resolve, reject) => {
      const { WebSocket, wsUrl, token, appendToken } = this.settings;
      const address = URLExt.join(wsUrl, 'desipipe/api/socket');
      const socket = new WebSocket(
        appendToken && token
          ? `${address}?token=${encodeURIComponent(token)}`
          : address
      );
      let opened = false;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const close = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      };
      const abort = () => {
        close();
        resolve(true);
      };
      const listen = () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          close();
          reject(new RequestError('The server fell silent.', 0, ''));
        }, SILENCE);
      };
      socket.onopen = () => {
        opened = true;
        listen();
        socket.send(JSON.stringify({ queue: folders }));
        onOpen();
      };
      socket.onmessage = message => {
        listen();
        const { event, data } = JSON.parse(message.data);
        if (event !== 'beat') {
          this._note(data);
          onEvent(data);
        }
      };
      socket.onclose = () => {
        close();
        resolve(opened);
      };
      listen();
      signal.addEventListener('abort', abort);
      if (signal.aborted) {
        abort();
      }
    });
    if (!opened) {
      throw await this._refusal();
    }
  }

  /** Of deleted queues, which the stream tells, nothing is asked: browsers list refusals. */
  private _note({ queue, error, message }: IServerEvent): void {
    if (REFUSED.includes(error)) {
      const status = GONE.includes(error) ? 404 : 403;
      const refusal = new RequestError(`${message}`, status, `${error}`);
      this._refused.set(queue, refusal);
    } else {
      this.revive(queue);
    }
  }

  /** Find out why the stream could not be opened, which browsers do not tell. */
  private async _refusal(): Promise<RequestError> {
    try {
      await this.look('events');
    } catch (error) {
      // Without the name of a queue desipipe refuses: then it is there.
      if (error instanceof RequestError && error.status !== 400) {
        return error;
      }
    }
    return new RequestError('The server opens no stream.', 0, '');
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
    const patience = init.signal ?? AbortSignal.timeout(PATIENCE);
    try {
      response = await ServerConnection.makeRequest(
        URLExt.join(this.settings.baseUrl, place),
        { ...init, signal: patience },
        this.settings
      );
    } catch (error) {
      throw new RequestError(`No connection to the server (${error}).`, 0, '');
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
      if (LOGGED_OUT.includes(response.status) && NO_LOGIN.includes(kind)) {
        message = LOGIN_ENDED;
      }
      throw new RequestError(message, response.status, kind);
    }
    return response;
  }

  private _refused = new Map<string, RequestError>();
}

/** Text that stands in HTML. */
function unescaped(text: string): string {
  return (
    new DOMParser().parseFromString(text, 'text/html').body.textContent ?? ''
  );
}
