/**
 * The tasks of cells that have no output of them in this window, shown below the cell. The
 * notebook is not changed by it.
 */
import { Cell, CodeCell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';
import { MimeModel } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Panel, type PanelLayout, Widget } from '@lumino/widgets';

import { CellModel, sameTasks } from '../model';
import { CellDisplay } from '../renderer';
import { RequestError } from '../request';
import { ICellView, MIME_TYPE } from '../tokens';
import type { CellStates } from './model';

/** A view below a cell. */
interface IView {
  tasks: ICellView;
  /** Its display; empty before the outputs of the tasks are known. */
  panel: Panel;
}

/** Keep views below the cells of a notebook, as long as the notebook and its states live. */
export function showViews(
  notebook: Notebook,
  states: CellStates,
  trans: TranslationBundle
): void {
  const views = new WeakMap<Cell, IView>();
  const hide = (cell: Cell) => {
    views.get(cell)?.panel.dispose();
    views.delete(cell);
  };
  const show = (cell: Cell) => {
    const tasks = cell.isDisposed ? null : states.missing(cell.model);
    const view = views.get(cell);
    if (view && !(tasks && sameTasks(view.tasks, tasks))) {
      hide(cell);
    }
    if (tasks && !views.has(cell) && isDrawn(cell)) {
      void add(cell, tasks);
    }
  };
  const add = async (cell: CodeCell, tasks: ICellView) => {
    const view: IView = { tasks, panel: new Panel() };
    views.set(cell, view);
    const shown = await ask(states, tasks);
    if (!shown || views.get(cell) !== view || cell.isDisposed) {
      return; // another one has its place
    }
    const display = new CellDisplay(
      notebook.rendermime,
      new CellModel(states.follower),
      trans
    );
    view.panel.addClass('jp-desipipe-Recorded');
    view.panel.addWidget(display);
    const { trusted } = cell.model;
    const data = { [MIME_TYPE]: shown as never };
    await display.renderModel(new MimeModel({ data, trusted }));
    if (views.get(cell) === view && !cell.isDisposed) {
      if (showsTasks(cell)) {
        view.panel.insertWidget(0, later(trans));
      }
      insert(cell, view.panel);
    }
  };
  states.changed.connect(() => {
    if (!notebook.isDisposed) {
      notebook.widgets.forEach(show);
    }
  });
  notebook.cellInViewportChanged.connect((_, cell) => show(cell));
}

/** Ask for the outputs of tasks; `null` where the server does not tell. */
async function ask(
  states: CellStates,
  tasks: ICellView
): Promise<ICellView | null> {
  try {
    const { api } = states.follower;
    const shown = await api.cell({ ...tasks, published: '' });
    return { ...shown, title: tasks.title };
  } catch (error) {
    if (error instanceof RequestError) {
      return null; // the badge tells what is known
    }
    throw error;
  }
}

/** Whether JupyterLab has made the parts of a cell, which it does when the cell is first seen. */
function isDrawn(cell: Cell): cell is CodeCell {
  return (
    cell instanceof CodeCell &&
    cell.node.querySelector(':scope > .jp-Cell-outputWrapper') !== null
  );
}

/** Whether the saved outputs of a cell show tasks of an earlier run. */
function showsTasks({ model: { outputs } }: CodeCell): boolean {
  return outputs
    .toJSON()
    .some(({ data }) => MIME_TYPE in ((data as object | undefined) ?? {}));
}

function later(trans: TranslationBundle): Widget {
  const node = document.createElement('p');
  node.className = 'jp-desipipe-later';
  node.textContent = trans.__(
    'These tasks ran after those above, and were not saved. Run the cell to save them.'
  );
  return new Widget({ node });
}

/** Put a view below the outputs of a cell. */
function insert(cell: CodeCell, view: Panel): void {
  const layout = cell.layout as PanelLayout;
  const after = layout.widgets.findIndex(widget =>
    widget.hasClass('jp-Cell-outputWrapper')
  );
  layout.insertWidget(after + 1, view);
  // Lumino counts nodes, and the badge is one that it does not know.
  layout.widgets[after].node.after(view.node);
}
