/**
 * The states of the task cells of one notebook, as it is edited: asked of the server when the text has come to rest, and never while nothing changes.
 */
import type { ICellModel } from '@jupyterlab/cells';
import type { CellList } from '@jupyterlab/notebook';
import { IDisposable } from '@lumino/disposable';
import { Debouncer } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { number } from '../format';
import { Follower, sameTasks } from '../model';
import { RequestError } from '../request';
import { count, ICellView, isOver, rowRanges, TARGETS } from '../tokens';
import type { OtherWindows } from './otherwindows';
import { RecordedRuns } from './recorded';
import { displayOf, notebookText } from './text';
import { UnseenTasks } from './unseen';
import {
  BadgeState,
  ICellNode,
  ICellStatesView,
  ICellStateView,
  ICellText,
  IPlanView
} from './tokens';

/** How long (ms) the text has to rest before anything is asked. */
const REST = 150;
/** How long (ms) to wait before asking again after there was no answer. */
const PATIENCE = 5000;

/** Progress of tasks is told once in so long (ms). */
const TELL = 100;

/** Why a cell is stale whose tasks are superseded, as `desipipe.cells.states.SUPERSEDED`. */
const SUPERSEDED =
  'its tasks are superseded: other code ran in its place since';

/** States of cells whose tasks are left, as `desipipe.cells.states.UNFINISHED`. */
const UNFINISHED: Readonly<Record<string, BadgeState>> = {
  running: 'running',
  paused: 'paused',
  stopped: 'no worker'
};

/** What there is to say of a notebook without task cells. */
const NOTHING: ICellStatesView = { cells: [], shown: [] };

/** What the model needs of a notebook. */
export interface INotebookText {
  readonly cells: CellList;
  readonly contentChanged: ISignal<unknown, void>;
}

/** The states of a notebook's task cells. */
export class CellStates implements IDisposable {
  /**
   * @param notebook - the notebook
   * @param follower - knows what has become of the tasks that are shown
   * @param rest - how long the text has to rest before anything is asked (ms)
   * @param path - where the notebook is on the server, for modules beside it
   * @param others - what other windows on the notebook display
   */
  constructor(
    readonly notebook: INotebookText,
    readonly follower: Follower,
    rest = REST,
    readonly path: () => string | undefined = () => undefined,
    readonly others: OtherWindows | null = null
  ) {
    this._unseen = new UnseenTasks(follower);
    this._recorded = new RecordedRuns(follower);
    this._recorded.changed.connect(this._onRecorded, this);
    this._debouncer = new Debouncer(() => this._ask(), rest);
    notebook.contentChanged.connect(this._onContentChanged, this);
    follower.noted.connect(this._onNoted, this);
    others?.changed.connect(this._onContentChanged, this);
    this._onContentChanged();
  }

  /** A state may have changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The state of a cell; `null` of cells that are no task cells, or before anything is known. */
  get(cell: ICellModel): ICellStateView | null {
    const state = this._states.get(cell.id);
    return state ? this._withTasks(cell, state) : null;
  }

  /**
   * The tasks of a cell of which its outputs here say nothing: another window ran it, or this one
   * did before it was loaded again.
   */
  missing(cell: ICellModel): ICellView | null {
    const shown = this._shown(cell);
    const own = displayOf(cell);
    return shown && !(own && sameTasks(own, shown)) ? shown : null;
  }

  /** All that are known, in the order of the notebook. */
  get all(): ICellStateView[] {
    return Array.from(this.notebook.cells, cell => this.get(cell)).filter(
      state => state !== null
    );
  }

  /** All of them, with what is known of their tasks. */
  get nodes(): ICellNode[] {
    return Array.from(this.notebook.cells).flatMap(cell => {
      const state = this.get(cell);
      const shown = state && this._shown(cell);
      const summary = shown && this.follower.newest(shown);
      const total = summary?.total ?? 0;
      const done = summary && total ? count(summary, ['SUCCEEDED']) : null;
      const elapsed = summary?.began ? summary.elapsed : null;
      return state ? [{ state, done, total, elapsed }] : [];
    });
  }

  /** What running the cells that are not current would take. */
  async plan(): Promise<IPlanView | null> {
    const cells = this._text();
    return (
      cells && this.follower.api.ask<IPlanView>('plan', this._question(cells))
    );
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._debouncer.dispose();
      this.others?.dispose();
      this._recorded.dispose();
      this._unseen.dispose();
      clearTimeout(this._timer);
      clearTimeout(this._telling);
      Signal.clearData(this);
    }
  }

  private _onContentChanged(): void {
    void this._debouncer.invoke().catch(() => {
      // It was disposed of meanwhile.
    });
  }

  private _onNoted(): void {
    if (this._states.size && !this._telling) {
      this._telling = setTimeout(() => {
        this._telling = undefined;
        this._changed.emit();
      }, TELL);
    }
  }

  private async _ask(): Promise<void> {
    const cells = this._text();
    const asked = cells && JSON.stringify(this._question(cells));
    if (this._isDisposed || asked === this._asked) {
      return;
    }
    this._asked = asked;
    const models = Array.from(this.notebook.cells);
    const answer = cells ? await this._answer(cells) : NOTHING;
    if (asked !== this._asked || this._isDisposed) {
      return; // another question is under way
    }
    if (answer) {
      const idOf = (one: { cell: number }) => models[one.cell - 1].id;
      this._states = new Map(answer.cells.map(one => [idOf(one), one]));
      this._recorded.take(
        answer.shown.map(one => [models[one.cell - 1], one.display])
      );
      this._watch();
    } else {
      if (!this._isRefused) {
        this._asked = undefined;
        this._timer = setTimeout(() => this._onContentChanged(), PATIENCE);
      }
      for (const [id, state] of this._states) {
        this._states.set(id, { ...state, state: 'unknown', reason: '' });
      }
    }
    this._changed.emit();
  }

  private _onRecorded(): void {
    this._watch();
    this._changed.emit();
  }

  private _watch(): void {
    const shown = Array.from(this.notebook.cells, one => this._shown(one));
    this._unseen.watch(shown.filter(one => one !== null));
  }

  /** The last display of a cell's tasks, in whichever window. */
  private _shown(cell: ICellModel): ICellView | null {
    return (
      this.others?.get(cell) ?? this._recorded.get(cell) ?? displayOf(cell)
    );
  }

  /** What the server is asked: it says itself what it knows beyond that. */
  private _text(): ICellText[] | null {
    const shown = (cell: ICellModel) => this.others?.get(cell);
    return notebookText(
      this.notebook.cells,
      cell => shown(cell) ?? displayOf(cell)
    );
  }

  private _question(cells: ICellText[]): object {
    const path = this.path();
    return { cells, ...(path && { path }) };
  }

  /** What the server says; `null` if there is none, or it knows nothing of it. */
  private async _answer(cells: ICellText[]): Promise<ICellStatesView | null> {
    clearTimeout(this._timer);
    const { api } = this.follower;
    try {
      const question = this._question(cells);
      return await api.ask<ICellStatesView>('cells', question);
    } catch (error) {
      // Asking the same again is of no use where desipipe refused, or is not there.
      this._isRefused = error instanceof RequestError && error.isFinal;
      return null;
    }
  }

  private _withTasks(cell: ICellModel, state: ICellStateView): ICellStateView {
    if (state.state === 'current' && this._recorded.isAsked(cell)) {
      return { ...state, state: 'unknown' }; // until its tasks are known
    }
    const shown = state.state === 'current' ? this._shown(cell) : null;
    if (!shown) {
      return state;
    }
    if (shown.badge?.by === 'value') {
      // The kernel has seen that a value is another one, which no text says.
      return { ...state, state: 'stale', reason: shown.badge.reason };
    }
    const summary = this.follower.newest(shown);
    if (summary.gone) {
      return { ...state, state: 'unknown', reason: summary.gone };
    }
    const deleted = rowCount(shown.rows) - summary.total - summary.superseded;
    if (deleted > 0) {
      return { ...state, state: 'unknown', reason: deletedText(deleted) };
    }
    if (summary.superseded) {
      return { ...state, state: 'stale', reason: SUPERSEDED };
    }
    if (!isOver(summary)) {
      return { ...state, state: UNFINISHED[summary.condition] ?? 'running' };
    }
    const bad = count(summary, TARGETS.retry) + summary.blocked;
    return bad ? { ...state, state: 'failed' } : state;
  }

  private _asked: string | null | undefined = undefined;
  private _changed = new Signal<this, void>(this);
  private _debouncer: Debouncer<void>;
  private _isDisposed = false;
  private _isRefused = false;
  private _recorded: RecordedRuns;
  private _states = new Map<string, ICellStateView>();
  private _telling: ReturnType<typeof setTimeout> | undefined;
  private _unseen: UnseenTasks;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** How many rows a text such as `0-19,40` names. */
function rowCount(rows: string): number {
  return rowRanges(rows).reduce((sum, [a, b]) => sum + b - a + 1, 0);
}

/** As `desipipe.cells.file.deleted_text`. */
function deletedText(n: number): string {
  return n === 1
    ? '1 task of it was deleted'
    : `${number(n)} tasks of it were deleted`;
}
