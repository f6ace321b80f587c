/**
 * Words that all of the front end shares: types of what kernel and server send, names of states. Imports nothing local.
 */
import type * as nbformat from '@jupyterlab/nbformat';

/** MIME type of the display of a `%%desipipe` cell. */
export const MIME_TYPE = 'application/vnd.desipipe.v1+json';

/** Version of the JSON that this renderer understands. */
export const VERSION = 1;

/** States of a task, in the order of a bar: what ended well, what ended badly, what runs, what waits. */
export const STATES = [
  'SUCCEEDED',
  'FAILED',
  'KILLED',
  'UNKNOWN',
  'RUNNING',
  'PENDING',
  'WAITING'
] as const;

/** State of a task. */
export type State = (typeof STATES)[number];

/** A state, or what is shown instead: blocked by another task, superseded by other code. */
export type Shown = State | 'BLOCKED' | 'SUPERSEDED';

/** What a cell's tasks, or a queue, as a whole are doing. */
export type Condition =
  'empty' | 'running' | 'paused' | 'stopped' | 'failed' | 'done';

/**
 * How states are told apart without colour; those of desipipe/view/queue.py. The colours are in style/base.css.
 */
export const SYMBOLS: Readonly<Record<Shown, string>> = {
  WAITING: '◌',
  PENDING: '○',
  RUNNING: '●',
  SUCCEEDED: '✓',
  FAILED: '✕',
  KILLED: '⊘',
  UNKNOWN: '?',
  BLOCKED: '‖',
  SUPERSEDED: '↷'
};

/** The same for conditions. */
export const CONDITION_SYMBOLS: Readonly<Record<Condition, string>> = {
  empty: '·',
  running: '●',
  paused: '‖',
  stopped: '■',
  failed: '✕',
  done: '✓'
};

/** A task that did not succeed. */
export interface IFailure {
  tid: string;
  name: string;
  index: number | null;
  state: string;
  /** Last line of its traceback, or why it was ended. */
  cause: string;
  /** Line of the cell, counted from 1, the `%%desipipe` line. */
  line: number | null;
}

/** A task that others wait for in vain. */
export interface ICause {
  tid: string;
  name: string;
  index: number | null;
  state: string;
  cause: string;
  count: number;
}

/** What kernel and server say of a cell: `desipipe.view.queue.cell_summary`. Times are in seconds since the epoch. */
export interface ICellSummary {
  version: number;
  /** What the tasks are all of, if they are not those of a cell. */
  kind?: 'queue';
  queue: string;
  folder: string;
  title: string;
  rows: string;
  first: string;
  time: number;
  condition: Condition;
  total: number;
  counts: Partial<Record<State, number>>;
  blocked: number;
  /** Tasks of code that the notebook has no longer: they are in none of the counts. */
  superseded?: number;
  left: number;
  workers: number;
  rate: number | null;
  eta: number | null;
  elapsed: number | null;
  began: number | null;
  ended: number | null;
  cached: boolean;
  computed: number | null;
  failure: IFailure | null;
  causes: ICause[];
  advice: [string, string][];
  outputs: nbformat.IOutput[];
  truncated: string;
  /** What became of the tasks, where they are no more. */
  gone?: string;
  /** Why no worker comes before someone does something about it. */
  refused?: string;
  /** Digests of what the cell ran with, as `desipipe.cells.states.Recorded`. */
  ran?: { text: string; reads: Record<string, string> };
  /** What the kernel, or a saved notebook, says of a cell that is not current; `by`: the kernel compared values. */
  badge?: { state: string; reason: string; by?: 'value' };
  /** The first jobs of batch systems that are there for its tasks, how many there are, and all of them by state and reason. */
  jobs?: ICellJob[];
  n_jobs?: number;
  job_groups?: IJobGroup[];
  /** Name of the owner of the queue, if they are not trusted: then it may only be looked at. */
  untrusted?: string;
}

/** A job of a batch system, as {@link ICellSummary} names it. */
export interface ICellJob {
  job: string;
  state: string;
  reason: string;
  node: string;
  /** When it reaches its time limit (s since the epoch). */
  ends: number | null;
  /** How many tasks run in it. */
  running: number;
  tasks: { tid: string; name: string; index: number }[];
}

/** Jobs of one state and reason. */
export interface IJobGroup {
  state: string;
  reason: string;
  n: number;
  nodes: number;
  running: number;
  ends: [number, number] | null;
}

/** What can be asked of the server: of the tasks, or of the queue that they are in. */
export type Action = 'retry' | 'cancel' | 'start' | 'resume';

/** Actions on tasks. */
export type TaskAction = 'retry' | 'cancel';

/** States of the tasks that an action is for. */
export const TARGETS: Readonly<Record<TaskAction, readonly State[]>> = {
  retry: ['FAILED', 'KILLED', 'UNKNOWN'],
  cancel: ['RUNNING', 'PENDING', 'WAITING']
};

/** How many of a cell's tasks are in one of some states. */
export function count(
  summary: ICellSummary,
  states: readonly State[] = STATES
): number {
  return states.reduce((sum, state) => sum + (summary.counts[state] ?? 0), 0);
}

/** Whether nothing can change by itself any more. */
export function isOver(summary: ICellSummary): boolean {
  return summary.left === 0;
}
