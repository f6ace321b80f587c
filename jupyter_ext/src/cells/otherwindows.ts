/**
 * Task cells that another window on the same notebook ran. This one has no outputs of them, but the kernel tells all windows what it displays.
 */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { ICellModel } from '@jupyterlab/cells';
import { KernelMessage } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { CellModel, Follower } from '../model';
import { ICellView, MIME_TYPE, readCell } from '../tokens';
import { displayOf } from './text';

/** What the model needs of a session. */
export type IWindowSession = Pick<ISessionContext, 'iopubMessage' | 'session'>;

/** A display of another window. */
interface IDisplay {
  id: string;
  /** What the kernel displays, with what the cell ran with. */
  shown: ICellView;
  /** Follows its tasks. */
  model: CellModel;
}

/** What other windows display of a notebook's task cells. */
export class OtherWindows implements IDisposable {
  /**
   * @param session - of this window
   * @param find - returns a cell of the notebook by its identity
   * @param follower - knows what has become of the tasks
   */
  constructor(
    readonly session: IWindowSession,
    readonly find: (id: string) => ICellModel | undefined,
    readonly follower: Follower
  ) {
    session.iopubMessage.connect(this._onMessage, this);
  }

  /** Another window ran a cell, or this one did after it. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The last display of a cell; `null` where it is of this window. */
  get({ id }: ICellModel): ICellView | null {
    return this._displays.get(id)?.shown ?? null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._displays.forEach(({ model }) => model.dispose());
      this._displays.clear();
      Signal.clearData(this);
    }
  }

  private _onMessage(_: unknown, message: KernelMessage.IMessage): void {
    const isNew = KernelMessage.isDisplayDataMsg(message);
    if (!isNew && !KernelMessage.isUpdateDisplayDataMsg(message)) {
      return;
    }
    const { data, transient } = message.content;
    const { cell_id: cell, display_id: id } = (transient ?? {}) as ITransient;
    if (!cell || !id || !data[MIME_TYPE]) {
      return;
    }
    const known = this._displays.has(cell);
    if (isNew && this._isOwn(message)) {
      this._drop(cell);
    } else if (isNew || this._goesOn(cell, id)) {
      this._keep(cell, id, readCell(data[MIME_TYPE]));
    }
    if (isNew || known !== this._displays.has(cell)) {
      this._changed.emit(); // else the follower tells
    }
  }

  private _isOwn({ parent_header }: KernelMessage.IMessage): boolean {
    const kernel = this.session.session?.kernel;
    return (
      'session' in parent_header && parent_header.session === kernel?.clientId
    );
  }

  /** Whether an update is of another window: threads of a kernel do not tell whose cell they work for. */
  private _goesOn(cell: string, id: string): boolean {
    const display = this._displays.get(cell);
    if (display) {
      return display.id === id;
    }
    const model = this.find(cell);
    return !!model && !displayOf(model);
  }

  private _keep(cell: string, id: string, shown: ICellView): void {
    const model =
      this._displays.get(cell)?.model ?? new CellModel(this.follower);
    this._displays.set(cell, { id, shown, model });
    model.receive(shown);
    model.visible = true;
  }

  private _drop(cell: string): void {
    this._displays.get(cell)?.model.dispose();
    this._displays.delete(cell);
  }

  private _changed = new Signal<this, void>(this);
  private _displays = new Map<string, IDisplay>();
  private _isDisposed = false;
}

interface ITransient {
  cell_id?: string;
  display_id?: string;
}
