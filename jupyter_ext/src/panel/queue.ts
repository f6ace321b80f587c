/**
 * The queue that is open in the panel.
 */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { Looker } from './looker';
import { TasksModel } from './tasks';
import type { IQueueSummary } from './tokens';

/** All there is to see of a queue, and its tasks, while someone looks. */
export class QueueModel implements IDisposable {
  constructor(
    readonly follower: Follower,
    readonly folder: string,
    interval = 250
  ) {
    this.tasks = new TasksModel(follower.api, folder);
    this._looker = new Looker(() => this._look(), interval);
  }

  readonly tasks: TasksModel;

  /** Something that is shown has changed, but for the tasks. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get summary(): IQueueSummary | null {
    return this._summary;
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
    Signal.clearData(this);
  }

  /** Whether someone looks. */
  get visible(): boolean {
    return this._following !== null;
  }

  set visible(visible: boolean) {
    if (visible && !this._following) {
      this._following = this.follower.follow(this.folder, () =>
        this._looker.ask()
      );
      this._looker.ask();
    } else if (!visible) {
      this._following?.dispose();
      this._following = null;
    }
  }

  /** Ask the server now. */
  refresh(): void {
    this._looker.ask();
  }

  private async _look(): Promise<boolean> {
    if (!this.visible) {
      return false;
    }
    this.tasks.touch();
    try {
      this._summary = await this.follower.api.look('queue', {
        queue: this.folder
      });
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    this._changed.emit();
    return this._problem !== null;
  }

  private _changed = new Signal<this, void>(this);
  private _following: IDisposable | null = null;
  private _looker: Looker;
  private _problem: Error | null = null;
  private _summary: IQueueSummary | null = null;
}
