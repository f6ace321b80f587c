/**
 * A list of tasks of which only the pages that are looked at are known.
 */
import { ISignal, Signal } from '@lumino/signaling';

import type { Api } from '../request';
import { IFilter, ITaskRow, ITaskPage, NO_FILTER } from './tokens';

/** Tasks that are asked for at once. */
const PAGE = 100;

/** The most tasks that are selected: one order is for them. */
const MOST = 1000;

/** Pages that are remembered. */
const KEPT = 50;

interface IKnown {
  tasks: ITaskRow[];
  /** Which look it is of. */
  look: number;
}

/** The tasks of a queue that pass a filter. */
export class TasksModel {
  constructor(
    readonly api: Api,
    readonly folder: string
  ) {}

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** How many there are; `null` before the server said so. */
  get total(): number | null {
    return this._total;
  }

  /** Why the server did not tell; `null` if it did. */
  get problem(): Error | null {
    return this._problem;
  }

  /** Whether what is shown is of another filter: the answer is on its way. */
  get isOld(): boolean {
    return this._shown !== this._filter;
  }

  /** Which tasks are listed. */
  get filter(): IFilter {
    return this._filter;
  }

  set filter(filter: IFilter) {
    if (JSON.stringify(filter) !== JSON.stringify(this._filter)) {
      this._filter = filter;
      this._first = this._last = 0;
      this.touch();
      this._changed.emit();
    }
  }

  /** The task at a place of the list, if it is known. */
  get(place: number): ITaskRow | undefined {
    return this._pages.get(Math.floor(place / PAGE))?.tasks[place % PAGE];
  }

  /** The task of an identity, if it is known. */
  find(tid: string): ITaskRow | undefined {
    for (const { tasks } of this._pages.values()) {
      const task = tasks.find(task => task.tid === tid);
      if (task) {
        return task;
      }
    }
    return undefined;
  }

  /** Tasks that are selected, as they are now where that is known. */
  get selected(): ReadonlyMap<string, ITaskRow> {
    return this._selected;
  }

  /** Select one task, or no longer; select several. */
  select(tasks: readonly ITaskRow[]): void {
    const now = new Map(this._selected);
    for (const task of tasks) {
      if (tasks.length === 1 && now.has(task.tid)) {
        now.delete(task.tid);
      } else if (now.size < MOST) {
        now.set(task.tid, task);
      }
    }
    this._selected = now;
    this._changed.emit();
  }

  /** Select none. */
  clearSelection(): void {
    if (this._selected.size) {
      this._selected = new Map();
      this._changed.emit();
    }
  }

  /** Someone looks at these places. */
  want(first: number, last: number): void {
    this._first = first;
    this._last = last;
    void this._load();
  }

  /** What is known may not be true any more. */
  touch(): void {
    this._look += 1;
    void this._load();
  }

  private async _load(): Promise<void> {
    if (this._loading) {
      return; // it looks for what is wanted after each page
    }
    this._loading = true;
    try {
      for (let page = this._next(); page !== null; page = this._next()) {
        await this._fetch(page);
      }
      this._problem = null;
    } catch (error) {
      this._problem = error instanceof Error ? error : new Error(`${error}`);
    }
    this._loading = false;
    this._changed.emit();
  }

  /** The first page that is looked at and not known, or known from an earlier look. */
  private _next(): number | null {
    const last = Math.floor(this._last / PAGE);
    for (let page = Math.floor(this._first / PAGE); page <= last; page++) {
      if (this.isOld || this._pages.get(page)?.look !== this._look) {
        return page;
      }
    }
    return null;
  }

  private async _fetch(page: number): Promise<void> {
    const { _filter: filter, _look: look } = this;
    const { state, text, cell, order } = filter;
    const answer = await this.api.look<ITaskPage>('tasks', {
      queue: this.folder,
      offset: `${page * PAGE}`,
      limit: `${PAGE}`,
      ...(state && { state }),
      ...(order && { order }),
      ...(text.trim() && { text: text.trim() }),
      ...(cell && { rows: cell.rows, first: cell.first })
    });
    if (filter !== this._filter) {
      return;
    }
    if (this.isOld) {
      this._pages.clear();
      this._shown = filter;
    }
    this._total = answer.total;
    this._pages.delete(page);
    this._pages.set(page, { tasks: answer.tasks, look });
    for (const task of answer.tasks) {
      if (this._selected.has(task.tid)) {
        this._selected.set(task.tid, task);
      }
    }
    for (const old of this._pages.keys()) {
      if (this._pages.size <= KEPT) {
        break;
      }
      this._pages.delete(old);
    }
    // A list that became shorter has no such places any more.
    this._last = Math.min(this._last, Math.max(0, answer.total - 1));
    this._first = Math.min(this._first, this._last);
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _filter: IFilter = NO_FILTER;
  private _first = 0;
  private _last = 0;
  private _loading = false;
  private _look = 0;
  private _pages = new Map<number, IKnown>();
  private _problem: Error | null = null;
  private _selected = new Map<string, ITaskRow>();
  private _shown: IFilter | null = null;
  private _total: number | null = null;
}
