/**
 * What is true of a queue as long as someone looks.
 */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { GONE, RequestError } from '../request';
import { Looker } from './looker';

/** Asks the server again when something happened to a queue, while someone looks. */
export abstract class FollowedModel implements IDisposable {
  /**
   * @param interval - ms between two looks at a queue that changes
   */
  constructor(
    readonly follower: Follower,
    readonly folder: string,
    interval: number
  ) {
    this._looker = new Looker(() => this._ask(), interval);
  }

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Why the server did not tell; `null` if it did. */
  get problem(): Error | null {
    return this._problem;
  }

  /** Whether the queue was deleted, or cleared. */
  get isGone(): boolean {
    const { _problem: problem } = this;
    return problem instanceof RequestError && GONE.includes(problem.kind);
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
    if (visible === this.visible || this.isDisposed) {
      return;
    }
    if (visible) {
      this._following = this.follower.follow(this.folder, () => this.refresh());
      this.refresh();
    } else {
      this._following?.dispose();
      this._following = null;
    }
    this.onVisible(visible);
  }

  /** Ask the server soon, if someone looks. */
  refresh(): void {
    this._looker.ask();
  }

  /**
   * Ask the server, and remember what it says.
   *
   * @returns whether it is something new; rejects with why it was not told
   */
  protected abstract look(): Promise<boolean>;

  /** Somebody begins to look, or nobody does any more. */
  protected onVisible(_visible: boolean): void {}

  private async _ask(): Promise<boolean> {
    if (!this.visible) {
      return false;
    }
    const before = this._problem;
    let changed = false;
    try {
      changed = await this.look();
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    if (changed || before || this._problem) {
      this._changed.emit();
    }
    // What is refused stays so until something happens.
    const { _problem: problem } = this;
    return !!problem && !(problem instanceof RequestError && problem.isFinal);
  }

  private _changed = new Signal<this, void>(this);
  private _following: IDisposable | null = null;
  private _looker: Looker;
  private _problem: Error | null = null;
}
