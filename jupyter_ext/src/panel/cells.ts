/**
 * From a task to the cell that made it, and from a cell to its tasks.
 */
import type { CodeCell } from '@jupyterlab/cells';
import { PathExt } from '@jupyterlab/coreutils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type * as nbformat from '@jupyterlab/nbformat';
import type {
  INotebookTracker,
  Notebook,
  NotebookPanel
} from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';

import { ICellView, MIME_TYPE, RECORD_KEY, rowRanges } from '../tokens';
import type { ITaskView } from './tokens';

/** Notebooks that are looked through on the server, and how large they may be. */
const NOTEBOOKS = 30;
const BYTES = 20e6;
/** How often to look whether a cell is in sight; how often in a row it has to be until it flashes, and until it will stay. */
const LOOKS = 100;
const SEEN = 3;
const STEADY = 20;

/** Whether a row is among rows as text: `0-19,40`. */
export function hasRow(rows: string, row: number): boolean {
  return rowRanges(rows).some(([first, last]) => first <= row && row <= last);
}

/** What a cell's output says of its tasks. */
export function summaryOf(
  outputs: readonly nbformat.IOutput[]
): ICellView | null {
  for (const output of outputs) {
    const data = output.data as nbformat.IMimeBundle | undefined;
    const summary = data?.[MIME_TYPE] as unknown as ICellView | undefined;
    if (summary) {
      return summary;
    }
  }
  return null;
}

/** What is known of a cell of a notebook, open or not. */
export interface ICellFacts {
  source: string;
  outputs: readonly nbformat.IOutput[];
}

/**
 * The place of the cell that made a task; -1 if there is none.
 *
 * A cell that has the task in its display made it. Functions are decorated in cells without one: these are known by their code.
 */
export function placeOf(
  cells: readonly ICellFacts[],
  folder: string,
  task: ITaskView
): number {
  const shown = cells.findIndex(({ outputs }) => {
    const summary = summaryOf(outputs);
    return (
      summary?.folder === folder &&
      hasRow(summary.rows, task.row) &&
      // Rows of a queue that was cleared since are others.
      (parseInt(summary.rows, 10) !== task.row || summary.first === task.tid)
    );
  });
  if (shown >= 0) {
    return shown;
  }
  const code = squeezed(task.code);
  return code
    ? cells.findIndex(({ source }) => squeezed(source).includes(code))
    : -1;
}

/** Code without its indentation and empty lines, which notebooks and queues write differently. */
function squeezed(code: string): string {
  return code
    .split('\n')
    .map(line => line.trim())
    .filter(line => line)
    .join('\n');
}

/** A notebook, and the place of a cell in it. */
type Found = [NotebookPanel, number];

/** Finds cells in notebooks. */
export class Cells {
  constructor(
    private readonly _tracker: INotebookTracker,
    private readonly _documents: IDocumentManager | null,
    private readonly _contents: Contents.IManager
  ) {}

  /**
   * Show the cell that made a task: open its notebook, go there, flash.
   *
   * @returns whether it was found
   */
  async show(
    folder: string,
    task: ITaskView,
    reveal: (panel: NotebookPanel) => void
  ): Promise<boolean> {
    const found = await this._find(folder, task);
    if (!found) {
      return false;
    }
    const [panel, place] = found;
    reveal(panel);
    const notebook = panel.content;
    notebook.deselectAll();
    notebook.activeCellIndex = place;
    await arrive(notebook, place);
    return true;
  }

  /** The summary of the cell whose display a node of the page is in. */
  summaryAt(node: Element): ICellView | null {
    let found: ICellView | null = null;
    this._tracker.forEach(panel => {
      for (const cell of panel.content.widgets) {
        if (cell.node.contains(node) && cell.model.type === 'code') {
          found = summaryOf((cell as CodeCell).model.outputs.toJSON());
        }
      }
    });
    return found;
  }

  /** The panel, which may have to be opened, and the place of the cell in it: of a record only where the notebook is gone. */
  private async _find(folder: string, task: ITaskView): Promise<Found | null> {
    const open = this._open(folder, task, false);
    if (open) {
      return open;
    }
    const [notebook, record] = await this._search(folder, task);
    const openRecord = notebook ? null : this._open(folder, task, true);
    const path = notebook ?? record;
    if (openRecord || path === null) {
      return openRecord;
    }
    const panel = this._documents?.openOrReveal(path) as
      NotebookPanel | undefined;
    await panel?.revealed;
    await panel?.context.ready;
    return this._open(folder, task, notebook === null);
  }

  /** The panel, and the place of the cell in it, among the notebooks (or the records) that are open. */
  private _open(
    folder: string,
    task: ITaskView,
    records: boolean
  ): Found | null {
    let found: Found | null = null;
    this._tracker.forEach(panel => {
      if (!!panel.model?.getMetadata(RECORD_KEY) !== records) {
        return;
      }
      const cells = panel.content.widgets.map(cell => ({
        source:
          cell.model.type === 'code' ? cell.model.sharedModel.getSource() : '',
        outputs:
          cell.model.type === 'code'
            ? (cell as CodeCell).model.outputs.toJSON()
            : []
      }));
      const place = found ? -1 : placeOf(cells, folder, task);
      if (place >= 0) {
        found = [panel, place];
      }
    });
    return found;
  }

  /** The paths of a notebook and of a record in the folder in which the task was made; the latter only where there is no notebook. */
  private async _search(
    folder: string,
    task: ITaskView
  ): Promise<[string | null, string | null]> {
    let record: string | null = null;
    if (task.path === null) {
      return [null, null];
    }
    const path = task.path === '.' ? '' : task.path;
    const listing: Contents.IModel = await this._contents.get(path);
    const notebooks = (listing.content as Contents.IModel[])
      .filter(
        item =>
          PathExt.extname(item.path) === '.ipynb' && (item.size ?? 0) < BYTES
      )
      .sort((a, b) => (a.last_modified < b.last_modified ? 1 : -1))
      .slice(0, NOTEBOOKS);
    for (const { path } of notebooks) {
      const { content } = await this._contents.get(path, {
        type: 'notebook',
        content: true
      });
      const cells = (content as nbformat.INotebookContent).cells.map(cell => ({
        source: cell.cell_type === 'code' ? joined(cell.source) : '',
        outputs: (cell.outputs as nbformat.IOutput[] | undefined) ?? []
      }));
      if (placeOf(cells, folder, task) < 0) {
        continue;
      }
      if (!(content as nbformat.INotebookContent).metadata[RECORD_KEY]) {
        return [path, null];
      }
      record ??= path;
    }
    return [null, record];
  }
}

function joined(text: nbformat.MultilineString): string {
  return typeof text === 'string' ? text : text.join('');
}

let goals = 0;

/**
 * Scroll to a cell, and flash it; again while it moves away, as heights of cells above that were never seen are guesses until then, and a notebook that was
 * just opened is laid out more than once. Who scrolls, clicks or types, or goes elsewhere, has the last word.
 */
export async function arrive(notebook: Notebook, place: number): Promise<void> {
  const goal = ++goals;
  const { node } = notebook.widgets[place];
  const interrupt = new AbortController();
  for (const act of ['wheel', 'pointerdown', 'keydown']) {
    notebook.node.addEventListener(act, () => interrupt.abort(), {
      capture: true,
      passive: true,
      signal: interrupt.signal
    });
  }
  // JupyterLab adds the cells of a long notebook one by one after it was opened.
  notebook.renderCellOutputs(place);
  let steady = 0;
  for (let look = 0; look < LOOKS && steady < STEADY;) {
    if (
      interrupt.signal.aborted ||
      goal !== goals ||
      notebook.isDisposed ||
      notebook.widgets[place]?.node !== node
    ) {
      break;
    }
    look += node.isConnected ? 1 : 0;
    if (!steady && node.isConnected) {
      await notebook.scrollToItem(place, 'smart').catch(() => {
        // JupyterLab scrolls elsewhere meanwhile: so look again
      });
    }
    await new Promise(resolve => setTimeout(resolve, 50));
    const cell = node.getBoundingClientRect();
    const around = notebook.node.getBoundingClientRect();
    const seen =
      node.isConnected && cell.bottom > around.top && cell.top < around.bottom;
    steady = seen ? steady + 1 : 0;
    if (steady === SEEN) {
      flash(node);
    }
  }
  interrupt.abort();
}

/** Let the eye find it. */
function flash(node: HTMLElement): void {
  node.classList.remove('jp-desipipe-flash');
  void node.offsetWidth; // begin anew
  node.classList.add('jp-desipipe-flash');
  node.addEventListener(
    'animationend',
    () => node.classList.remove('jp-desipipe-flash'),
    { once: true }
  );
}
