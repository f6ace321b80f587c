/**
 * Words of the panel: types of what the server sends, ids of commands and of places. Imports nothing but the front end's own words.
 */
import type { Condition, ICause, Shown, State } from '../tokens';

/** Id of the panel in the sidebar. */
export const PANEL_ID = 'desipipe-panel';

/** Id of the plugin, and of its settings. */
export const PLUGIN_ID = 'desipipe-lab:panel';

/** Ids of commands. */
export const COMMANDS = {
  open: 'desipipe:open',
  refresh: 'desipipe:refresh',
  start: 'desipipe:start',
  pause: 'desipipe:pause',
  resume: 'desipipe:resume',
  retry: 'desipipe:retry',
  cancel: 'desipipe:cancel',
  kill: 'desipipe:kill',
  delete: 'desipipe:delete',
  resize: 'desipipe:resize',
  graph: 'desipipe:graph',
  timeline: 'desipipe:timeline',
  picture: 'desipipe:picture',
  settings: 'desipipe:settings',
  copyPath: 'desipipe:copy-path',
  use: 'desipipe:use',
  clearSuperseded: 'desipipe:clear-superseded',
  openTask: 'desipipe:open-task',
  openTaskTab: 'desipipe:open-task-tab',
  retryTask: 'desipipe:retry-task',
  cancelTask: 'desipipe:cancel-task',
  showCell: 'desipipe:show-cell',
  showCellTasks: 'desipipe:show-cell-tasks'
} as const;

/** A queue's manager: the process that keeps enough workers. */
export interface IManager {
  name: string;
  host: string;
  pid: number;
  since: number;
  /** Unknown (`null`) where it runs on another machine and was not watched long enough. */
  alive: boolean | null;
  /** Its last trouble, in words. */
  says: string;
  stopping: boolean;
}

/** What a list shows of a queue: `desipipe.view.queue.queue_brief`. Times are in seconds since the epoch. */
export interface IQueueLine {
  /** The shortest name by which one can ask for it. */
  queue: string;
  folder: string;
  /** Why it can't be read; then there is nothing else but the condition. */
  error: string;
  condition: Condition | 'unreadable';
  time: number;
  state: 'PAUSED' | 'ACTIVE';
  total: number;
  counts: Partial<Record<State, number>>;
  /** How many of the pending ones a worker has taken. */
  claimed?: number;
  blocked: number;
  /** Tasks of code that notebooks and scripts have no longer: they are in none of the counts. */
  superseded?: number;
  left: number;
  /** How many workers live, as far as the journal tells. */
  workers?: number;
  /** How many tasks may run in parallel, of each task manager by its identity. */
  limits?: Record<string, number>;
  manager: IManager | null;
  rate: number | null;
  eta: number | null;
  /** Name of the user whose queue it is. */
  owner?: string;
  /** True if that is the user of this server. */
  own?: boolean;
  /** Name of the group that shares it; empty if none does. */
  group?: string;
  /** Name of the owner, if this user does not trust them: then it may only be looked at. */
  untrusted?: string;
}

/** A worker that is there, as far as is known. */
export interface IWorker {
  name: string;
  host: string;
  pid: number;
  /** Identity of its job; empty if it was begun by hand. */
  job: string;
  slots: number;
  since: number;
  alive: boolean | null;
  stopping: boolean;
  /** What it cannot do at the moment, and why. */
  trouble?: string;
  running: number;
  /** How many tasks are to run next. */
  claimed?: number;
  tasks: (ITaskLabel & { since: number | null })[];
}

/** A job of a batch system that has not ended. */
export interface IJob {
  /** `4411_2`: its identity, with its index in an array. */
  job: string;
  slots: number;
  /** `withdrawn`: it has not begun, and is no longer needed. */
  state: 'pending' | 'running' | 'withdrawn';
  /** Why it waits, in the batch system's own word. */
  reason: string;
  node: string;
  /** When it reaches its time limit. */
  ends: number | null;
  /** Names of the workers in it. */
  workers: string[];
}

/** What a task is called. */
export interface ITaskLabel {
  tid: string;
  name: string;
  index: number;
}

/** All there is to see of a queue at one glance: `desipipe.view.queue.queue_summary`. */
export interface IQueueSummary extends Omit<IQueueLine, 'workers'> {
  workers: IWorker[];
  n_workers: number;
  jobs: IJob[];
  n_jobs: number;
  failures: (ITaskLabel & { state: State; cause: string })[];
  causes: ICause[];
  n_causes: number;
  damage: { file: string; offset: number; length: number }[];
  n_damage: number;
}

/** What a list of tasks shows of one. */
export interface ITaskLine extends ITaskLabel {
  row: number;
  state: State;
  /** It is pending, and a worker has taken it. */
  claimed?: boolean;
  /** Identity of the task that keeps it from running. */
  blocked: string;
  /** It is of code that its notebook or script has no longer. */
  superseded?: boolean;
  attempt: number;
  worker: string;
  host: string;
  job: string;
  began: number | null;
  duration: number | null;
  /** Who added it, in a queue that a group shares. */
  user?: string;
  /** Whose worker ran it, in a queue that a group shares. */
  ran_by?: string;
  /** The most resident memory of its process, bytes. */
  memory?: number | null;
  cause: string;
  /** Its arguments in few words: `i=12, k=0.1`. */
  arguments_text?: string;
}

/** A page of a list of tasks. */
export interface ITaskPage {
  total: number;
  offset: number;
  tasks: ITaskLine[];
}

/** Which tasks are listed. */
export interface IFilter {
  /** One of the states, or all if empty. */
  state: Shown | '';
  text: string;
  /** Only the tasks of a cell. */
  cell: { rows: string; first: string; title: string } | null;
  /** By default, as they were added. */
  order?: Order;
}

/** Orders of a list of tasks. */
export type Order = '' | 'newest' | 'state' | 'slowest' | 'name';

/** What can be done with several tasks. */
export type TasksAction = 'retry' | 'cancel';

/** The tasks of an app: `desipipe.view.task_context.app_summaries`. */
export interface IApp {
  name: string;
  total: number;
  counts: Partial<Record<State, number>>;
  failed: number;
  /** s; `null` if none has succeeded. */
  median: number | null;
}

/** A filter that everything passes. */
export const NO_FILTER: IFilter = {
  state: '',
  text: '',
  cell: null,
  order: ''
};

/** An attempt to run a task. */
export interface IAttempt {
  attempt: number;
  state: State;
  worker: string;
  host: string;
  job: string;
  began: number | null;
  duration: number | null;
  memory?: number | null;
  cause: string;
  /** Whether it is the one that counts. */
  current: boolean;
  out: number;
  err: number;
}

/** A task that another one depends on, or that uses it. */
export interface IRelative extends ITaskLabel {
  state: State;
  blocked: string;
  superseded?: boolean;
}

/** How long the last tasks of an app took, s, and the median of their memory, bytes. */
export interface IPeers {
  n: number;
  median: number;
  least: number;
  most: number;
  memory: number | null;
}

/** All that is known of a task: `desipipe.view.queue.task_detail`. */
export interface ITask extends ITaskLine {
  kind: string;
  added: number | null;
  timeout: number | null;
  retries: number;
  retry_on: string[];
  priority: number;
  cwd: string;
  /** How the server shows that folder; `null`: not at all. */
  path: string | null;
  code: string;
  arguments: Record<string, string>;
  versions: Record<string, string>;
  attempts: IAttempt[];
  out: number;
  err: number;
  /** Bytes of the result; `null` if there is none. */
  result: number | null;
  trace: string;
  /** The line of `code` that failed, from 1 on. */
  line?: number | null;
  /** Its result in few words, where that is known without unpickling it. */
  result_text?: string;
  requires: IRelative[];
  n_requires: number;
  dependants: IRelative[];
  n_dependants: number;
  /** The task that keeps it from running. */
  blocker?: ITaskLabel | null;
  /** The tasks before and after it in the queue. */
  previous?: ITaskLabel | null;
  next?: ITaskLabel | null;
  /** Times and memory of other tasks of its app that succeeded. */
  peers?: IPeers | null;
  problems: string[];
}

/** A piece of what a task printed: `desipipe.view.output.read_output`. */
export interface IPiece {
  text: string;
  offset: number;
  part: string;
  /** It is the beginning, and takes the place of what was shown. */
  fresh: boolean;
  more: boolean;
  over: boolean;
  attempt: number;
}

/** Node of a graph: a task, or an app that stands for its tasks. */
export interface INode {
  id: string;
  name: string;
  /** Of a task. */
  tid?: string;
  index?: number;
  state?: State;
  /** Of a task: whether it is blocked; of an app: how many are. */
  blocked: boolean | number;
  /** Of an app. */
  total?: number;
  counts?: Partial<Record<State, number>>;
}

/** Which tasks need which. */
export interface IGraph {
  grouped: boolean;
  total: number;
  nodes: INode[];
  edges: { source: string; target: string; count: number }[];
}

/** What a worker did, from when to when: one attempt, or a piece of its time in which attempts were counted. */
export interface IInterval {
  start: number;
  /** `null`: it runs. */
  end: number | null;
  /** Of an attempt. */
  state?: State;
  name?: string;
  index?: number;
  tid?: string;
  level?: number;
  /** Of a piece. */
  count?: number;
  counts?: Partial<Record<State, number>>;
  busy?: number;
}

/** A worker's line in the timeline. */
export interface ILane {
  worker: string;
  host: string;
  job: string;
  slots: number;
  height: number;
  intervals: IInterval[];
}

/** Who ran what when. */
export interface ITimeline {
  began: number | null;
  ended: number | null;
  total: number;
  aggregated: boolean;
  lanes: ILane[];
  hidden: number;
}

/** What the panel remembers from one day to the next. */
export interface IPanelState {
  /** Folder of the queue that is open. */
  open: string | null;
  filter: IFilter;
  /** Whether its workers are shown. */
  workers: boolean;
}

/** What can be set; see schema/panel.json. */
export interface ISettings {
  folders: string[];
  refresh: number;
  background: boolean;
  notifyFailure: boolean;
  notifyCompletion: boolean;
}

/** How a task is called. */
export function label(task: ITaskLabel): string {
  return `${task.name}[${task.index}]`;
}
