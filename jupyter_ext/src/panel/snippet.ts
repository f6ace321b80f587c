/**
 * Cells that the panel inserts into the notebook.
 */
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';

/** Return the cell that makes a notebook add its tasks to a queue. */
export function useCell(queue: string, isLoaded: boolean): string {
  const name = /\s/.test(queue) ? `'${queue}'` : queue;
  return `${isLoaded ? '' : '%load_ext desipipe\n'}%desipipe use ${name}`;
}

/**
 * Insert a cell that uses a queue below the active cell of the notebook in front.
 *
 * @returns whether there is one
 */
export function insertUse(
  notebooks: INotebookTracker | null,
  queue: string
): boolean {
  const notebook = notebooks?.currentWidget?.content;
  if (!notebook?.model) {
    return false;
  }
  const isLoaded = notebook.widgets.some(cell =>
    cell.model.sharedModel.getSource().includes('%load_ext desipipe')
  );
  NotebookActions.insertBelow(notebook);
  notebook.activeCell?.model.sharedModel.setSource(useCell(queue, isLoaded));
  return true;
}
