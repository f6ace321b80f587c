/**
 * Task cells that ran, of which this window has no outputs: it was loaded again without being
 * saved, or was opened after another one ran them. The server knows them by the journals of the
 * notebook's queues.
 */
import type { ICellModel } from '@jupyterlab/cells';
import { JSONExt, ReadonlyJSONObject } from '@lumino/coreutils';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Follower } from '../model';
import { RequestError } from '../request';
import { ICellView } from '../tokens';
import { displayOf } from './text';
import type { ICellRunView } from './tokens';

type IDisplay = ICellRunView['display'];

/** The last run of a cell. */
interface IRun {
  display: IDisplay;
  /** What the output of the cell said when the server was asked. */
  own: ICellView | null;
  /** What has become of its tasks; `null` before that is known. */
  shown: ICellView | null;
  /** Whether the server was asked, and has not answered. */
  isAsked: boolean;
}

/** The last runs of cells, as the server tells them. */
export class RecordedRuns implements IDisposable {
  constructor(readonly follower: Follower) {}

  /** More is known of the tasks of a cell. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The tasks of a cell; `null` where nothing is known, or the cell ran here since. */
  get(cell: ICellModel): ICellView | null {
    return this._run(cell)?.shown ?? null;
  }

  /** Whether the tasks of a cell are being asked for. */
  isAsked(cell: ICellModel): boolean {
    return this._run(cell)?.isAsked ?? false;
  }

  /** Take what the server says now. */
  take(runs: readonly (readonly [ICellModel, IDisplay])[]): void {
    const before = this._runs;
    this._runs = new Map();
    for (const [cell, display] of runs) {
      const own = displayOf(cell);
      const last = before.get(cell.id);
      if (last && isSame(last.display, display)) {
        this._runs.set(cell.id, { ...last, own });
      } else {
        const run = { display, own, shown: null, isAsked: true };
        this._runs.set(cell.id, run);
        void this._ask(cell.id, display);
      }
    }
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._runs.clear();
    Signal.clearData(this);
  }

  private _run(cell: ICellModel): IRun | null {
    const run = this._runs.get(cell.id);
    return run && isSameDisplay(run.own, displayOf(cell)) ? run : null;
  }

  private async _ask(id: string, display: IDisplay): Promise<void> {
    let shown: ICellView | null = null;
    try {
      const answer = await this.follower.api.cell(display, false);
      shown = { ...answer, title: display.title, ran: display.ran };
      this.follower.note(shown);
    } catch (error) {
      if (!(error instanceof RequestError)) {
        throw error;
      } // the state that the server told of the text stays
    }
    const run = this._runs.get(id);
    if (run?.display === display) {
      this._runs.set(id, { ...run, shown, isAsked: false });
      this._changed.emit();
    }
  }

  private _changed = new Signal<this, void>(this);
  private _isDisposed = false;
  private _runs = new Map<string, IRun>();
}

function isSame(a: IDisplay, b: IDisplay): boolean {
  return JSONExt.deepEqual(json(a), json(b));
}

function isSameDisplay(a: ICellView | null, b: ICellView | null): boolean {
  return a && b
    ? a.folder === b.folder && a.rows === b.rows && a.first === b.first
    : a === b;
}

function json(display: IDisplay): ReadonlyJSONObject {
  return display as unknown as ReadonlyJSONObject;
}
