/**
 * States of task cells: what the server says of the text of a notebook, `desipipe.cells.states`.
 */

/** What the badge of a task cell says. */
export type Badge =
  | 'current'
  | 'edited'
  | 'stale'
  | 'running'
  | 'failed'
  | 'never run'
  | 'unknown';

/** How they are told apart without colour; those of desipipe/cells/plan.py. */
export const BADGE_SYMBOLS: Readonly<Record<Badge, string>> = {
  current: '✓',
  edited: '✎',
  stale: '↻',
  running: '●',
  failed: '✕',
  'never run': '○',
  unknown: '?'
};

/** A task cell. */
export interface ICellState {
  /** Number of the cell in its notebook, from 1. */
  cell: number;
  title: string;
  state: Badge;
  /** Why, for people. */
  reason: string;
  /** Task cells whose outputs it reads, by the name of the output. */
  needs: Record<string, number>;
}

/** A task cell with what is known of its tasks. */
export interface ICellNode {
  state: ICellState;
  /** How many of its tasks succeeded; `null` where it has none. */
  done: number | null;
  total: number;
  /** Seconds that they took; `null` where that is not known. */
  elapsed: number | null;
}

/** What one task of a cell takes. */
export interface IEstimate {
  seconds: number;
  runs: number;
  nodes: number | null;
  charge_factor: number | null;
}

/** A task cell of a plan. */
export interface IPlannedCell extends ICellState {
  tasks: number | null;
  each: IEstimate | null;
  seconds: number | null;
  node_hours: number | null;
  charge: number | null;
}

/** What the task cells that are not current would take. */
export interface IPlan {
  cells: IPlannedCell[];
  /** Cells that a new kernel has to run, in order. */
  to_run: number[];
  total: {
    cells: number;
    tasks: number | null;
    seconds: number | null;
    node_hours: number | null;
    charge: number | null;
  };
}

/** A cell as the server is asked about it: as nbformat has it, of outputs the displays of tasks alone. */
export interface ICellText {
  cell_type: string;
  source: string;
  outputs?: { data: Record<string, object> }[];
}
