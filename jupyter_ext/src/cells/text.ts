/**
 * The cells of an open notebook, as the server is asked about them.
 */
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type { CellList } from '@jupyterlab/notebook';

import { ICellView, MIME_TYPE, readCell } from '../tokens';
import { ICellText } from './tokens';

/** What a cell's last display of tasks holds; `null` where it has none. */
export function displayOf(cell: ICellModel): ICellView | null {
  if (cell.type !== 'code') {
    return null;
  }
  const { outputs } = cell as ICodeCellModel;
  for (let i = outputs.length - 1; i >= 0; i--) {
    const data = outputs.get(i).data[MIME_TYPE];
    const summary = data && readCell(data);
    if (summary && !summary.kind) {
      return summary;
    }
  }
  return null;
}

/** Returns the last display of a cell's tasks. */
export type Displays = (cell: ICellModel) => ICellView | null;

/** A cell as the server is asked about it. */
function cellText(cell: ICellModel, shownOf: Displays): ICellText {
  if (cell.type !== 'code') {
    return { cell_type: cell.type, id: cell.id, source: '' };
  }
  const summary = shownOf(cell);
  const source = cell.sharedModel.getSource();
  if (!summary) {
    return { cell_type: 'code', id: cell.id, source };
  }
  const { folder, rows, first, title, ran } = summary;
  const shown = { folder, rows, first, title, ...(ran && { ran }) };
  return {
    cell_type: 'code',
    id: cell.id,
    source,
    outputs: [{ data: { [MIME_TYPE]: shown } }]
  };
}

/** All cells of a notebook; `null` where none of them is a task cell. */
export function notebookText(
  cells: CellList,
  shownOf: Displays = displayOf
): ICellText[] | null {
  const found = Array.from(cells, cell => cellText(cell, shownOf));
  return found.some(
    ({ source, outputs }) => outputs || source.includes('%%desipipe')
  )
    ? found
    : null;
}
