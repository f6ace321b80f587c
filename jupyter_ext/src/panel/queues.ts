/**
 * The queues that there are, and how each is doing.
 */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { GONE, IServerEvent, RequestError } from '../request';
import { Looker } from './looker';
import type { IListedQueue, ISettings } from './tokens';

/** The most queues that are followed: a server keeps 128 in memory, for all pages. */
const MOST = 100;

/** What became of a queue. */
export interface IChange {
  before: IListedQueue | null;
  now: IListedQueue;
}

/** The list of queues: looked for while someone looks, told of by the event stream. */
export class QueuesModel implements IDisposable {
  constructor(
    readonly follower: Follower,
    readonly interval = 250
  ) {
    this._looker = new Looker(() => this._look(), interval);
    follower.changed.connect(this._onStream, this);
  }

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A queue is doing otherwise than before. */
  get moved(): ISignal<this, IChange> {
    return this._moved;
  }

  /** In the server's order; `null` before it was asked. */
  get lines(): readonly IListedQueue[] | null {
    return this._lines;
  }

  /** Why the server did not tell which queues there are; `null` if it did. */
  get problem(): Error | null {
    return this._problem;
  }

  /** Whether the server gives no answer. */
  get isLost(): boolean {
    return this.follower.isLost;
  }

  /** When the server last said something (ms since the epoch). */
  get heard(): number {
    return this._heard;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      clearInterval(this._timer);
      this._looker.dispose();
      this._followed.forEach(item => item.dispose());
      this._followed.clear();
      Signal.clearData(this);
    }
  }

  /** Whether someone looks; the server is asked nothing otherwise. */
  get visible(): boolean {
    return this._visible;
  }

  set visible(visible: boolean) {
    if (visible !== this._visible) {
      this._visible = visible;
      this._rearm();
    }
  }

  /** What can be set. */
  configure(settings: ISettings): void {
    const looks = `${settings.folders}` !== `${this._settings?.folders}`;
    this._settings = settings;
    this._rearm(looks);
  }

  /** What is known of a queue. */
  line(folder: string | null): IListedQueue | null {
    return this._lines?.find(line => line.folder === folder) ?? null;
  }

  /** Ask the server now. */
  refresh(): void {
    if (this.problem || this.isLost) {
      this.follower.retry();
    }
    this._looker.ask();
  }

  /** Show a queue that is gone no more, unless it comes back. */
  dismiss(folder: string): void {
    this._dismissed.add(folder);
    this._lines = this._lines?.filter(line => line.folder !== folder) ?? null;
    this._refollow();
    this._changed.emit();
  }

  private _rearm(look = true): void {
    clearInterval(this._timer);
    const settings = this._settings;
    if (!settings) {
      return;
    }
    // Once also while nobody looks: what is followed in the background must be known.
    if (look && (this._visible || (settings.background && !this._lines))) {
      this._looker.ask();
    }
    if (this._visible) {
      this._timer = setInterval(
        () => this._looker.ask(),
        1000 * settings.refresh
      );
    }
    this._refollow();
  }

  /** Ask which queues there are; returns whether to ask again after a while. */
  private async _look(): Promise<boolean> {
    let lines: IListedQueue[];
    try {
      lines = await this.follower.api.look('queues', {
        folder: this._settings?.folders ?? []
      });
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
      this._changed.emit();
      return !(error instanceof RequestError && error.isFinal);
    }
    if (this._isDisposed) {
      return false;
    }
    for (const line of lines) {
      if (!line.error) {
        this.follower.api.revive(line.folder);
        this._dismissed.delete(line.folder);
      }
    }
    const before = new Map(this._lines?.map(line => [line.folder, line]));
    this._problem = null;
    this._heard = Date.now();
    this._lines = lines
      .filter(line => !this._dismissed.has(line.folder))
      .map(line => {
        const known = before.get(line.folder);
        // The stream may have told more meanwhile.
        return known && !line.error && known.time > line.time ? known : line;
      });
    this._refollow();
    for (const line of this._lines) {
      this._tell(before.get(line.folder) ?? null, line);
    }
    this._changed.emit();
    return false;
  }

  private _refollow(): void {
    const follows = this._visible || this._settings?.background;
    const wanted = new Set(
      follows ? this._lines?.slice(0, MOST).map(line => line.folder) : []
    );
    for (const [folder, item] of [...this._followed]) {
      if (!wanted.has(folder)) {
        this._followed.delete(folder);
        item.dispose();
      }
    }
    for (const folder of wanted) {
      if (!this._followed.has(folder)) {
        this._followed.set(
          folder,
          this.follower.follow(folder, event => this._onEvent(folder, event))
        );
      }
    }
  }

  private _onEvent(folder: string, event?: IServerEvent): void {
    const place = this._lines?.findIndex(line => line.folder === folder) ?? -1;
    if (!event || !this._lines || place < 0) {
      return;
    }
    this._heard = Date.now();
    const before = this._lines[place];
    if (GONE.includes(event.error)) {
      // It is listed only if the server still finds it.
      this._lines = this._lines.filter(line => line !== before);
      this._refollow();
      this._changed.emit();
      this._looker.ask();
      return;
    }
    const now = (
      'message' in event
        ? { ...before, condition: 'unreadable', error: event.message }
        : // The stream calls it as it was asked for.
          { ...event, queue: before.queue }
    ) as IListedQueue;
    this._lines = [...this._lines];
    (this._lines as IListedQueue[])[place] = now;
    this._tell(before, now);
    this._changed.emit();
  }

  private _tell(before: IListedQueue | null, now: IListedQueue): void {
    if (before !== now) {
      this._moved.emit({ before, now });
    }
  }

  private _onStream(): void {
    const lost = this.isLost;
    if (this._wasLost && !lost && this._visible) {
      this._looker.ask();
    }
    this._wasLost = lost;
    // A cell of a notebook that is shown may have made a queue.
    const unknown = this.follower.folders.some(
      folder => !this._seen.has(folder)
    );
    this.follower.folders.forEach(folder => this._seen.add(folder));
    if (
      unknown &&
      this._lines &&
      this.follower.folders.some(folder => !this.line(folder)) &&
      (this._visible || this._settings?.background)
    ) {
      this._looker.ask();
    }
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _dismissed = new Set<string>();
  private _followed = new Map<string, IDisposable>();
  private _heard = 0;
  private _isDisposed = false;
  private _lines: readonly IListedQueue[] | null = null;
  private _looker: Looker;
  private _moved = new Signal<this, IChange>(this);
  private _problem: Error | null = null;
  private _seen = new Set<string>();
  private _settings: ISettings | null = null;
  private _timer: ReturnType<typeof setInterval> | undefined;
  private _visible = false;
  private _wasLost = false;
}
