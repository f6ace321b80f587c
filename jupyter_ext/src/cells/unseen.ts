/**
 * Tasks of cells that are not on the screen: their displays ask nothing, and what the saved notebook said of them would stay.
 */
import { IDisposable } from '@lumino/disposable';

import { Follower } from '../model';
import { RequestError } from '../request';
import { ICellView, isDone, isOver } from '../tokens';

/** Shortest time (ms) between two rounds of questions. */
const PACE = 2000;

/** Keeps the follower informed of tasks that have not ended. */
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

  /** Ask about the tasks of these displays, until they have ended. */
  watch(shown: readonly ICellView[]): void {
    if (!this._isDisposed) {
      this._watch(shown);
      if (this._shown.some(one => this._isAsked(one))) {
        this._look(0);
      }
    }
  }

  private _watch(shown: readonly ICellView[]): void {
    this._shown = shown.filter(one => this._mayChange(one));
    const folders = new Set(this._shown.map(({ folder }) => folder));
    for (const [folder, following] of [...this._followed]) {
      if (!folders.delete(folder)) {
        this._followed.delete(folder);
        following.dispose();
      }
    }
    for (const folder of folders) {
      const look = () => this._look(this.pace);
      this._followed.set(folder, this.follower.follow(folder, look));
    }
  }

  /** Whether tasks go on, or failed and may be retried. */
  private _mayChange(shown: ICellView): boolean {
    const newest = this.follower.newest(shown);
    return !isDone(newest) && !newest.gone;
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
    } else if (this._shown.length) {
      this._timer = setTimeout(() => void this._ask(), wait);
    }
  }

  private async _ask(): Promise<void> {
    this._again = false;
    const shown = this._shown;
    const isFresh = (one: ICellView) => this.follower.age(one) < this.pace;
    const fresh = shown.filter(isFresh); // their displays ask themselves
    for (const one of shown.filter(one => !isFresh(one))) {
      await this._askOne(one);
    }
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
  private _shown: readonly ICellView[] = [];
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
