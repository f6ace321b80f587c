/**
 * The queues that the notebook in front uses.
 */
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type {
  CellList,
  INotebookModel,
  INotebookTracker
} from '@jupyterlab/notebook';
import { Debouncer } from '@lumino/polling';
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import type { Follower } from '../model';
import { MIME_TYPE, readCell } from '../tokens';
import type { IListedQueue } from './tokens';

/** ms that a notebook has to rest before it is looked through again. */
const REST = 500;

const USE = /^\s*%desipipe\s+use\s+(?:'([^'\n]+)'|"([^"\n]+)"|(\S+))/gm;

/** What cells say of queues. */
export interface IUses {
  /** Folders of the queues whose tasks they show. */
  folders: ReadonlySet<string>;
  /** Names of the queues that they name by `%desipipe use`. */
  names: ReadonlySet<string>;
}

/** Look through the cells of a notebook. */
export function usesOf(cells: CellList): IUses {
  const folders = new Set<string>();
  const names = new Set<string>();
  for (const cell of cells) {
    foldersOf(cell).forEach(folder => folders.add(folder));
    const source = cell.type === 'code' ? cell.sharedModel.getSource() : '';
    for (const match of source.matchAll(USE)) {
      names.add(match[1] ?? match[2] ?? match[3]);
    }
  }
  return { folders, names };
}

/** Return the folders of the queues that are used. */
export function usedAmong(
  { folders, names }: IUses,
  lines: readonly Pick<IListedQueue, 'folder' | 'queue'>[]
): Set<string> {
  return new Set(
    lines
      .filter(
        ({ folder, queue }) =>
          folders.has(folder) || names.has(queue) || names.has(folder)
      )
      .map(({ folder }) => folder)
  );
}

/** Return the folders that the displays of a cell name. */
function foldersOf(cell: ICellModel): string[] {
  if (cell.type !== 'code') {
    return [];
  }
  const { outputs } = cell as ICodeCellModel;
  return Array.from({ length: outputs.length }, (_, i) => {
    const data = outputs.get(i).data[MIME_TYPE];
    return (data && readCell(data)?.folder) || '';
  }).filter(folder => folder);
}

/** Follows the notebook in front; looks through it only when someone asks. */
export class NotebookQueues {
  constructor(
    private readonly _notebooks: INotebookTracker,
    private readonly _follower: Pick<Follower, 'follow'>,
    rest = REST
  ) {
    this._debouncer = new Debouncer(() => this._changed.emit(), rest);
    _notebooks.currentChanged.connect(this._follow, this);
    this._follow();
  }

  /** Other queues may be used. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Return the folders of those of the queues that it uses. */
  among(lines: readonly IListedQueue[]): ReadonlySet<string> {
    const uses = this._look();
    return uses ? usedAmong(uses, lines) : new Set();
  }

  /**
   * Return why queues that it uses are not shown: they are outside of the folders of the server.
   *
   * The stream tells it, once for each that is not among `lines`; of deleted ones nothing is said.
   */
  refusals(lines: readonly IListedQueue[]): readonly string[] {
    const listed = new Set(lines.map(({ folder }) => folder));
    const folders = [...(this._look()?.folders ?? [])];
    const unlisted = folders.filter(folder => !listed.has(folder));
    for (const [folder, following] of [...this._asked]) {
      if (!unlisted.includes(folder)) {
        following.dispose();
        this._asked.delete(folder);
      }
    }
    for (const folder of unlisted) {
      if (!this._asked.has(folder) && !this._refused.has(folder)) {
        const following = this._follower.follow(folder, event => {
          if (event?.error === 'PermissionDeniedError') {
            following.dispose();
            this._asked.delete(folder);
            this._refused.set(folder, `${event.message}`);
            this._changed.emit();
          }
        });
        this._asked.set(folder, following);
      }
    }
    return unlisted.flatMap(folder => this._refused.get(folder) ?? []);
  }

  /** What it uses; `null` if there is no notebook. */
  private _look(): IUses | null {
    const { _model: model } = this;
    if (!model || model.isDisposed) {
      return null;
    }
    return (this._uses ??= usesOf(model.cells));
  }

  private _follow(): void {
    const model = this._notebooks.currentWidget?.content.model ?? null;
    if (model !== this._model) {
      this._model?.contentChanged.disconnect(this._onContent, this);
      this._model = model;
      model?.contentChanged.connect(this._onContent, this);
      this._uses = null;
      this._changed.emit();
    }
  }

  private _onContent(): void {
    this._uses = null;
    void this._debouncer.invoke();
  }

  /** Queues of which the stream has not said why they are not listed. */
  private _asked = new Map<string, IDisposable>();
  private _changed = new Signal<this, void>(this);
  private _debouncer: Debouncer<void>;
  private _model: INotebookModel | null = null;
  private _refused = new Map<string, string>();
  private _uses: IUses | null = null;
}
