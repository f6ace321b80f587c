/**
 * A task whose page is open.
 */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { LogModel } from './log';
import { Looker } from './looker';
import type { ITask } from './tokens';

/** All that is known of a task, while someone looks. */
export class TaskModel implements IDisposable {
  constructor(
    readonly follower: Follower,
    readonly folder: string,
    readonly tid: string,
    interval = 500
  ) {
    this.out = new LogModel(follower.api, folder, tid, 'out');
    this.err = new LogModel(follower.api, folder, tid, 'err');
    this._looker = new Looker(() => this._look(), interval);
  }

  readonly out: LogModel;
  readonly err: LogModel;

  /** Something that is shown has changed, but for the output. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get task(): ITask | null {
    return this._task;
  }

  /** Why the server did not tell; `null` if it did. */
  get problem(): Error | null {
    return this._problem;
  }

  get isDisposed(): boolean {
    return this._looker.isDisposed;
  }

  dispose(): void {
    this.visible = false;
    this._looker.dispose();
    this.out.dispose();
    this.err.dispose();
    Signal.clearData(this);
  }

  /** Whether someone looks. */
  get visible(): boolean {
    return this._following !== null;
  }

  set visible(visible: boolean) {
    if (visible === this.visible) {
      return;
    }
    if (visible) {
      this._following = this.follower.follow(this.folder, () =>
        this._looker.ask()
      );
      this._looker.ask();
    } else {
      this._following?.dispose();
      this._following = null;
    }
    this.out.visible = this.err.visible = visible;
  }

  /** Ask the server now. */
  refresh(): void {
    this._looker.ask();
  }

  private async _look(): Promise<boolean> {
    if (!this.visible) {
      return false;
    }
    const before = this._task;
    try {
      this._task = await this.follower.api.look<ITask>('task', {
        queue: this.folder,
        tid: this.tid
      });
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    const now = this._task;
    if (before?.state !== now?.state || before?.attempt !== now?.attempt) {
      this.out.wake();
      this.err.wake();
    }
    if (this._problem || JSON.stringify(before) !== JSON.stringify(now)) {
      this._changed.emit();
    }
    return this._problem !== null;
  }

  private _changed = new Signal<this, void>(this);
  private _following: IDisposable | null = null;
  private _looker: Looker;
  private _problem: Error | null = null;
  private _task: ITask | null = null;
}
