/**
 * What is known of a cell's tasks, and how it stays true: from the kernel, and from the server while someone looks.
 */
import { JSONExt, ReadonlyJSONObject, Token } from '@lumino/coreutils';
import { IDisposable, DisposableDelegate } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, GONE, IServerEvent, RequestError } from './request';
import { Action, ICellView, isDone, isOver } from './tokens';

/** Times of the follower and of the models, in ms. */
export interface ITiming {
  /** Subscriptions that come together become one stream. */
  gather: number;
  /** First wait before the stream is opened again; doubles up to `patience`. */
  backoff: number;
  /** Longest wait before the stream is opened again. */
  patience: number;
  /** Shortest time between two looks at the same cell. */
  interval: number;
  /** How long the stream goes on when the page is hidden. */
  linger: number;
}

const TIMING: ITiming = {
  gather: 50,
  backoff: 500,
  patience: 30_000,
  interval: 250,
  linger: 5000
};

/** How far what is shown can be trusted. */
export type Freshness = 'unknown' | 'stale' | 'live';

/** A saved state this young (s) is not old news, whatever the clocks of two machines say. */
const FRESH = 5;

/**
 * The one event stream of this page, for all cells that someone looks at. There is none while the page is hidden: what was missed is looked up when it
 * is shown again.
 */
export class Follower {
  constructor(
    readonly api: Api,
    readonly timing: ITiming = TIMING
  ) {
    document.addEventListener('visibilitychange', () => this._onVisibility());
  }

  /** Show the tasks of a cell in the panel, where there is one. */
  show: ((summary: ICellView) => void) | null = null;

  /** A queue is followed that was not before, or the stream was lost, or is there again. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Something is known of the tasks of a cell that was not known before. */
  get noted(): ISignal<this, void> {
    return this._noted;
  }

  /** The newest that is known of the tasks of a summary, among those that are shown. */
  newest(summary: ICellView): ICellView {
    const known = this._newest.get(tasksOf(summary))?.summary;
    return known && known.time >= summary.time ? known : summary;
  }

  /** How long ago something was noted of the tasks of a summary (ms). */
  age(summary: ICellView): number {
    const noted = this._newest.get(tasksOf(summary))?.at ?? -Infinity;
    return performance.now() - noted;
  }

  /** Keep what is known of the tasks of a cell. */
  note(summary: ICellView): void {
    this._newest.set(tasksOf(summary), {
      summary: { ...summary, outputs: [] },
      at: performance.now()
    });
    this._noted.emit();
  }

  /** Keep that the queue of a cell's tasks is gone, if an error says so. */
  noteError(summary: ICellView, error: RequestError): void {
    if (GONE.includes(error.kind)) {
      const time = Date.now() / 1000;
      const gone = error.message.split(/(?<=\.)\s/)[0];
      this.note({ ...this.newest(summary), time, gone });
    }
  }

  /** Whether the server gives no answer, though it is asked again and again. */
  get isLost(): boolean {
    return this._lost && this._listeners.size > 0;
  }

  /** The queues that somebody looks at, or wants to be told of. */
  get folders(): string[] {
    return this._folders();
  }

  /**
   * Be told of changes of a queue, and once when the stream is there again after it was lost.
   *
   * @param changed - called with what the server said, if it did
   * @returns what to dispose of when nobody looks any more
   */
  follow(folder: string, changed: (event?: IServerEvent) => void): IDisposable {
    const listener = { folder, changed };
    const known = this._folders().includes(folder);
    this._listeners.add(listener);
    if (!known) {
      this._restart();
      this._changed.emit();
    }
    return new DisposableDelegate(() => {
      this._listeners.delete(listener);
      if (!this._folders().includes(folder)) {
        this._restart();
      }
    });
  }

  /** Open the stream again at once, instead of after a while, or where the server had refused. */
  retry(): void {
    this._restart();
  }

  private _folders(): string[] {
    return [...new Set([...this._listeners].map(item => item.folder))].sort();
  }

  private _onVisibility(): void {
    clearTimeout(this._lingering);
    if (document.hidden) {
      this._lingering = setTimeout(() => {
        this._isAway = true;
        this._missed = true;
        this._restart();
      }, this.timing.linger);
    } else if (this._isAway) {
      this._isAway = false;
      this._restart();
    }
  }

  private _restart(): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => {
      this._abort?.abort();
      this._abort = null;
      if (this._listeners.size && !this._isAway) {
        this._abort = new AbortController();
        void this._run(this._folders(), this._abort.signal);
      }
    }, this.timing.gather);
  }

  private async _run(folders: string[], signal: AbortSignal): Promise<void> {
    let wait = this.timing.backoff;
    while (!signal.aborted) {
      try {
        await this.api.events(
          folders,
          () => {
            wait = this.timing.backoff;
            const missed = this._lost || this._missed;
            this._missed = false;
            this._setLost(false);
            if (missed) {
              this._tell();
            }
          },
          event => this._tell(event.queue, event),
          signal
        );
      } catch (error) {
        if (error instanceof RequestError && error.isFinal) {
          this._setLost(false); // it answers
          return; // no desipipe there, or not for us: the models know by their own requests
        }
      }
      if (!signal.aborted) {
        if (!this._lost) {
          this._setLost(true);
          this._tell(); // each finds out whether the server is gone
        }
        await pause(wait, signal);
        wait = Math.min(2 * wait, this.timing.patience);
      }
    }
  }

  private _tell(folder?: string, event?: IServerEvent): void {
    for (const listener of [...this._listeners]) {
      if (folder === undefined || folder === listener.folder) {
        listener.changed(event);
      }
    }
  }

  private _setLost(lost: boolean): void {
    if (lost !== this._lost) {
      this._lost = lost;
      this._changed.emit();
    }
  }

  private _changed = new Signal<this, void>(this);
  private _newest = new Map<string, { summary: ICellView; at: number }>();
  private _noted = new Signal<this, void>(this);
  private _isAway = false;
  private _lingering: ReturnType<typeof setTimeout> | undefined;
  private _missed = false;
  private _lost = false;
  private _abort: AbortController | null = null;
  private _listeners = new Set<{
    folder: string;
    changed: (event?: IServerEvent) => void;
  }>();
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** The page's one stream, for all plugins. */
export const IFollower = new Token<Follower>(
  'desipipe-lab:IFollower',
  'Tells of changes of queues.'
);

/**
 * The state behind one display.
 */
export class CellModel implements IDisposable {
  constructor(readonly follower: Follower) {}

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The newest that is known; `null` before anything came. */
  get summary(): ICellView | null {
    return this._summary;
  }

  /** When `summary` was true, by this page's monotonic clock (ms). */
  get received(): number {
    return this._received;
  }

  /** Whether `summary` goes on being true: `unknown` when it came with a notebook and the server was not asked yet, `stale` when nobody can say. */
  get freshness(): Freshness {
    return this._freshness;
  }

  /** The action that is under way. */
  get acting(): Action | null {
    return this._acting;
  }

  /** Why the last action failed; `null` if it did not. */
  get problem(): Error | null {
    return this._problem;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._following?.dispose();
      Signal.clearData(this);
    }
  }

  /**
   * What the kernel, or the saved notebook, says. The newer of what is known counts; of what is over the time is that of the last end, so that a
   * file does not change: that it was not received before makes it new.
   */
  receive(summary: ICellView): void {
    const known = this._summary;
    const repeated =
      this._told !== null && JSONExt.deepEqual(json(this._told), json(summary));
    this._told = summary;
    if (known && sameTasks(known, summary)) {
      if (!repeated && (isOver(summary) || summary.time > known.time)) {
        this._fromServer = false;
        this._take(summary, 'live');
      }
      return;
    }
    const age = Date.now() / 1000 - summary.time;
    if (known || age < FRESH) {
      this.follower.api.revive(summary.folder); // the kernel made it anew
    }
    this._fromServer = false;
    this._take(summary, known || age < FRESH ? 'live' : 'unknown');
    this._refollow();
  }

  /** Whether someone looks; nothing is asked for otherwise. */
  get visible(): boolean {
    return this._visible;
  }

  set visible(visible: boolean) {
    if (visible !== this._visible) {
      this._visible = visible;
      this._refollow();
      this._changed.emit(); // clocks tick again, or stop
    }
  }

  /** Ask the server to do something with the cell's tasks. Rejects never; `problem` tells. */
  async act(action: Action): Promise<void> {
    if (!this._summary || this._acting) {
      return;
    }
    this._acting = action;
    this._problem = null;
    this._changed.emit();
    try {
      await this.follower.api.act(action, this._summary);
      await this._ask();
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    this._acting = null;
    this._changed.emit();
  }

  /** Trust the user whose outputs are shown as text. */
  async trust(user: string): Promise<void> {
    const summary = this._summary;
    if (!summary) {
      return;
    }
    this._problem = null;
    try {
      const body = { queue: summary.folder, user };
      await this.follower.api.order('trust', body);
      await this._ask();
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    this._changed.emit();
  }

  private _take(summary: ICellView, freshness: Freshness): void {
    this._summary = summary;
    this._freshness = freshness;
    this._received = performance.now();
    this.follower.note(summary);
    if (isDone(summary)) {
      this._unfollow();
    } else if (!this._following) {
      this._refollow();
    }
    this._changed.emit();
  }

  private _refollow(): void {
    this._unfollow();
    const summary = this._summary;
    if (!this._visible || !summary || this._isDisposed) {
      return;
    }
    if (!isDone(summary)) {
      this._following = this.follower.follow(summary.folder, () => {
        this._look();
        if (this.follower.isLost) {
          this._age(); // the question may get no answer for long
        }
      });
    }
    // What failed may have been retried from elsewhere; what is done stays so.
    if (summary.condition !== 'done') {
      this._look();
    }
  }

  private _unfollow(): void {
    this._following?.dispose();
    this._following = null;
  }

  /** Ask the server soon; calls that come while it is being asked become one more question. */
  private _look(): void {
    this._wanted = true;
    if (!this._looking) {
      this._looking = true;
      void this._answerAll();
    }
  }

  private async _answerAll(): Promise<void> {
    while (this._wanted && this._visible && !this._isDisposed) {
      this._wanted = false;
      await this._ask();
      await pause(this.follower.timing.interval);
    }
    this._looking = false;
  }

  private async _ask(): Promise<void> {
    const asked = this._summary;
    if (!asked) {
      return;
    }
    let answer: ICellView;
    try {
      answer = await this.follower.api.cell(asked);
    } catch (error) {
      if (this._isDisposed || this._summary !== asked) {
        return;
      }
      if (error instanceof RequestError && error.isFinal) {
        this._unfollow(); // another queue's events must not suffer from this one's absence
        this.follower.noteError(asked, error);
      }
      this._age();
      return;
    }
    const known = this._summary;
    if (!this._isDisposed && known && sameTasks(known, asked)) {
      if (known.published !== asked.published) {
        // The answer repeats outputs that the kernel has put under the cell meanwhile.
        this._look();
      } else if (answer.time > known.time) {
        this._fromServer = true;
        this._take({ ...answer, title: known.title }, 'live');
      }
    }
  }

  /** Say that nobody can tell any more, unless the kernel does. */
  private _age(): void {
    if (
      this._freshness !== 'stale' &&
      (this._fromServer || this._freshness === 'unknown')
    ) {
      this._freshness = 'stale';
      this._changed.emit();
    }
  }

  private _acting: Action | null = null;
  private _changed = new Signal<this, void>(this);
  private _following: IDisposable | null = null;
  private _freshness: Freshness = 'unknown';
  private _fromServer = false;
  private _isDisposed = false;
  private _looking = false;
  private _problem: Error | null = null;
  private _received = 0;
  private _summary: ICellView | null = null;
  private _told: ICellView | null = null;
  private _visible = false;
  private _wanted = false;
}

function json(summary: ICellView): ReadonlyJSONObject {
  return summary as unknown as ReadonlyJSONObject;
}

/** Wait some ms, or until it is no use any more. */
function pause(time: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, time);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Names the tasks of a summary. */
function tasksOf({ folder, rows, first }: ICellView): string {
  return `${folder}\n${rows}\n${first}`;
}

/** Whether two summaries are of the same tasks of the same life of a queue. */
export function sameTasks(a: ICellView, b: ICellView): boolean {
  return a.folder === b.folder && a.rows === b.rows && a.first === b.first;
}
