/**
 * States of task cells: what the server says of the text of a notebook, `desipipe.cells.states`.
 */
import type { ICellStateView } from '../generated/view';

export { BADGE_SYMBOLS } from '../generated/view';
export type {
  BadgeState,
  IBadgeView,
  ICellRunView,
  ICellStatesView,
  ICellStateView,
  IPlanView,
  IPlannedCellView
} from '../generated/view';

/** A task cell with what is known of its tasks. */
export interface ICellNode {
  state: ICellStateView;
  /** How many of its tasks succeeded; `null` where none counts. */
  done: number | null;
  total: number;
  /** Seconds that they took; `null` where that is not known. */
  elapsed: number | null;
}

/** A cell as the server is asked about it: as nbformat has it, of outputs the displays of tasks alone. */
export interface ICellText {
  cell_type: string;
  id: string;
  source: string;
  outputs?: { data: Record<string, object> }[];
}
