/**
 * A job that is done again when something changed.
 */
import { IDisposable } from '@lumino/disposable';

/** Does a job soon after it is asked for; what is asked while it is done becomes one more time, after a pause. */
export class Looker implements IDisposable {
  /**
   * @param job - must not reject; tells whether it failed, and is to be tried again after a while
   * @param interval - ms between the end of the job and its next beginning
   * @param patience - ms after which what failed is tried again
   */
  constructor(
    private readonly _job: () => Promise<boolean | void>,
    private readonly _interval: number,
    private readonly _patience = 3000
  ) {}

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._wanted = false;
    clearTimeout(this._timer);
  }

  /** Do it soon. */
  ask(): void {
    this._wanted = !this._isDisposed;
    if (!this._busy) {
      this._busy = true;
      void this._work();
    }
  }

  private async _work(): Promise<void> {
    while (this._wanted) {
      this._wanted = false;
      clearTimeout(this._timer);
      if (await this._job()) {
        this._timer = setTimeout(() => this.ask(), this._patience);
      }
      await new Promise(resolve => setTimeout(resolve, this._interval));
    }
    this._busy = false;
  }

  private _busy = false;
  private _isDisposed = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _wanted = false;
}
