/**
 * Tasks of cells that are not on the screen, or are done: their displays ask nothing, and what was last known of them would stay.
 */
import { IDisposable } from '@lumino/disposable';

import { Follower } from '../model';
import { GONE, IServerEvent, RequestError } from '../request';
import { ICellView, isDone, isOver } from '../tokens';

/** Shortest time (ms) between two rounds of questions. */
const PACE = 2000;

/** How many tasks of a queue count, when the stream last told. */
interface IMarks {
  succeeded: number;
  superseded: number;
}

/** Keeps the follower informed of tasks that may change: of those that succeeded only where their queue has lost some. */
export class UnseenTasks implements IDisposable {
  constructor(
    readonly follower: Follower,
    readonly pace = PACE
  ) {}

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    this._watch([]);
  }

  /** Ask about the tasks of these displays, until they have succeeded, and where they are lost after that. */
  watch(shown: readonly ICellView[]): void {
    if (!this._isDisposed) {
      this._watch(shown);
      if (this._changing().some(one => this._isAsked(one))) {
        this._look(0);
      }
    }
  }

  private _watch(shown: readonly ICellView[]): void {
    this._shown = shown.filter(one => !this.follower.newest(one).gone);
    const folders = new Set(this._shown.map(({ folder }) => folder));
    for (const [folder, following] of [...this._followed]) {
      if (!folders.delete(folder)) {
        this._followed.delete(folder);
        this._marks.delete(folder);
        this._lossy.delete(folder);
        following.dispose();
      }
    }
    for (const folder of folders) {
      const changed = (event?: IServerEvent) => this._onEvent(folder, event);
      this._followed.set(folder, this.follower.follow(folder, changed));
    }
  }

  private _onEvent(folder: string, event?: IServerEvent): void {
    if (event && GONE.includes(event.error)) {
      const error = new RequestError(`${event.message}`, 404, `${event.error}`);
      this._of(folder).forEach(one => this.follower.noteError(one, error));
      this._watch(this._shown);
      return;
    }
    if (event && this._hasLost(folder, event)) {
      this._lossy.add(folder);
    }
    this._look(this.pace);
  }

  /** Whether tasks of a queue that succeeded were deleted, superseded or run again. */
  private _hasLost(folder: string, event: IServerEvent): boolean {
    const { counts, superseded } = event as Partial<ICellView>;
    if (!counts || superseded === undefined) {
      return false; // it cannot be read
    }
    const now = { succeeded: counts.SUCCEEDED ?? 0, superseded };
    const before = this._marks.get(folder) ?? this._firstMarks(folder);
    this._marks.set(folder, now);
    return (
      now.succeeded < before.succeeded || now.superseded > before.superseded
    );
  }

  /** What displays say of a queue of which the stream has not told yet. */
  private _firstMarks(folder: string): IMarks {
    const totals = new Map<string, number>();
    for (const one of this._of(folder)) {
      const newest = this.follower.newest(one);
      if (isDone(newest)) {
        totals.set(newest.rows, newest.total);
      }
    }
    const succeeded = [...totals.values()].reduce((sum, n) => sum + n, 0);
    return { succeeded, superseded: Infinity };
  }

  private _of(folder: string): ICellView[] {
    return this._shown.filter(one => one.folder === folder);
  }

  /** Those whose tasks go on, failed and may be retried, or may be lost. */
  private _changing(): ICellView[] {
    return this._shown.filter(
      one => this._lossy.has(one.folder) || !isDone(this.follower.newest(one))
    );
  }

  /** Whether tasks go on, or failed when the notebook was saved. */
  private _isAsked(shown: ICellView): boolean {
    const isNoted = this.follower.age(shown) < Infinity;
    return !isNoted || !isOver(this.follower.newest(shown));
  }

  /** Ask soon; calls that come before that are one. */
  private _look(wait: number): void {
    if (this._timer !== undefined) {
      this._again = true;
    } else if (this._changing().length) {
      this._timer = setTimeout(() => void this._ask(), wait);
    }
  }

  private async _ask(): Promise<void> {
    this._again = false;
    const shown = this._changing();
    const lossy = this._lossy;
    this._lossy = new Set();
    const isFresh = (one: ICellView) => this.follower.age(one) < this.pace;
    const fresh = shown.filter(isFresh); // their displays ask themselves
    for (const one of shown.filter(one => !isFresh(one))) {
      await this._askOne(one);
    }
    fresh
      .filter(one => lossy.has(one.folder) && this._followed.has(one.folder))
      .forEach(one => this._lossy.add(one.folder)); // what they show may be of before
    this._timer = undefined;
    if (!this._isDisposed) {
      this._watch(this._shown);
      if (this._again || fresh.length) {
        this._look(this.pace);
      }
    }
  }

  private async _askOne(shown: ICellView): Promise<void> {
    const { follower } = this;
    try {
      const answer = await follower.api.cell(shown, false);
      if (answer.time > follower.newest(shown).time) {
        follower.note({ ...answer, title: shown.title });
      }
    } catch (error) {
      if (error instanceof RequestError && error.isFinal) {
        this._shown = this._shown.filter(one => one !== shown);
        follower.noteError(shown, error);
      } // else the follower tells when the server answers again
    }
  }

  private _again = false;
  private _followed = new Map<string, IDisposable>();
  private _isDisposed = false;
  /** Queues that have lost tasks about which was not asked yet. */
  private _lossy = new Set<string>();
  private _marks = new Map<string, IMarks>();
  private _shown: readonly ICellView[] = [];
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
