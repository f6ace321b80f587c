/**
 * A job that is done again when something changed.
 */
import { IDisposable } from '@lumino/disposable';

/** Does a job soon after it is asked for; what is asked while it is done becomes one more time, after a pause. */
export class Looker implements IDisposable {
  /**
   * @param job - must not reject
   * @param interval - ms between the end of the job and its next beginning
   */
  constructor(
    private readonly _job: () => Promise<void>,
    private readonly _interval: number
  ) {}

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._wanted = false;
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
      await this._job();
      await new Promise(resolve => setTimeout(resolve, this._interval));
    }
    this._busy = false;
  }

  private _busy = false;
  private _isDisposed = false;
  private _wanted = false;
}
