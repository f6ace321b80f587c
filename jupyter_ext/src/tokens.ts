/**
 * Words that all of the front end shares: types of what kernel and server send, names of states. Imports nothing local.
 */
import type {
  Condition,
  ICellFailure,
  ICellView,
  ShownState,
  StateName
} from './generated/view';

export { CONDITION_SYMBOLS, SYMBOLS } from './generated/view';
export type {
  ICauseView,
  ICellFailure,
  ICellView,
  IFailureKind,
  IJobGroup,
  IJobView,
  TaskState
} from './generated/view';
export type { Condition };

/** State of a task. */
export type State = StateName;

/** A state, or what is shown instead. */
export type Shown = Exclude<ShownState, 'CLAIMED'>;

/** MIME type of the display of a `%%desipipe` cell. */
export const MIME_TYPE = 'application/vnd.desipipe.v1+json';

/** Key of the metadata by which a record is told from its notebook; also in desipipe/record/digests.py. */
export const RECORD_KEY = 'desipipe_record';

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
] as const satisfies readonly State[];

/** Members that notebooks lack which were saved before there were these. */
const SINCE = {
  claimed: 0,
  superseded: 0,
  jobs: [],
  n_jobs: 0,
  job_groups: [],
  gone: '',
  refused: '',
  untrusted: ''
} satisfies Partial<ICellView>;

/** The same of the first failure. */
const KINDLESS = { kinds: [] } satisfies Partial<ICellFailure>;

/** Read the JSON of a display, of this version of the struct or of before. */
export function readCell(data: unknown): ICellView {
  const cell = { ...SINCE, ...(data as ICellView) };
  const { failure } = cell;
  return failure ? { ...cell, failure: { ...KINDLESS, ...failure } } : cell;
}

/** The first and last rows of each range of a text such as `0-19,40`. */
export function rowRanges(rows: string): [number, number][] {
  return (rows ? rows.split(',') : []).map(part => {
    const [first, last = first] = part.split('-').map(Number);
    return [first, last];
  });
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
  summary: ICellView,
  states: readonly State[] = STATES
): number {
  return states.reduce((sum, state) => sum + (summary.counts[state] ?? 0), 0);
}

/** Whether nothing can change by itself any more. */
export function isOver(summary: ICellView): boolean {
  return summary.left === 0;
}

/** Whether nothing changes any more: what failed may be retried from elsewhere. */
export function isDone(summary: ICellView): boolean {
  return isOver(summary) && summary.condition === 'done';
}
