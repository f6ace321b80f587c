/**
 * What kernel and server send. Made of desipipe/view by jupyter_ext/view_types.py: change it there.
 * Times are seconds since the epoch, durations seconds, sizes bytes, unless a member says so.
 */

/** One of two structs; members of the other one are undefined. */
export type Either<A, B> =
  | (A & { [K in Exclude<keyof B, keyof A>]?: undefined })
  | (B & { [K in Exclude<keyof A, keyof B>]?: undefined });

/** State of a task, in the order of a bar: ended well, ended badly, running, waiting. */
export type StateName = 'SUCCEEDED' | 'FAILED' | 'KILLED' | 'UNKNOWN' | 'RUNNING' | 'PENDING' | 'WAITING';

/** State of a task that another one names, which may have been deleted. */
export type TaskState = StateName | 'DELETED';

/** A state, or what is shown instead. */
export type ShownState = StateName | 'DELETED' | 'BLOCKED' | 'SUPERSEDED' | 'CLAIMED';

/** State of a queue, or of the tasks of a cell, as a whole. */
export type Condition = 'empty' | 'running' | 'paused' | 'stopped' | 'failed' | 'done';

/** State of a queue in a list. */
export type LineCondition = Condition | 'unreadable';

/** State of a task cell. */
export type BadgeState = 'current' | 'edited' | 'stale' | 'running' | 'paused' | 'no worker' | 'failed' | 'never run' | 'unknown';

/** Numbers of tasks by state. */
export type Counts = Partial<Record<StateName, number>>;

/** Forms of one display by MIME type; the values belong to whoever made them. */
export type Mime = Record<string, unknown>;

/** State of a batch job; a withdrawn one has not begun and is no longer needed. */
export type JobState = 'pending' | 'running' | 'withdrawn';

/** Output of a task: printed text, or a display. */
export type OutputView = IStreamOutput | IErrorOutput | IDisplayOutput;

/** The name of a task. */
export interface ITaskLabel {
  /** Its identity. */
  tid: string;
  /** The name of its app. */
  name: string;
  /** Its number among the tasks of its app. */
  index: number;
}

/** A task that another one requires, or that requires it. */
export interface IRelativeView extends ITaskLabel {
  state: TaskState;
  /** Identity of the task that blocks it; or empty. */
  blocked: string;
  superseded: boolean;
}

/** A task that did not succeed. */
export interface IFailureView extends ITaskLabel {
  state: TaskState;
  /** The last line of its traceback, or why it was ended. */
  cause: string;
}

/** Tasks that did not succeed for causes of one kind. */
export interface IFailureKind {
  /** The class of what they raised; of others, their state. */
  kind: string;
  count: number;
}

/** The first task of a cell that did not succeed. */
export interface ICellFailure extends IFailureView {
  /** All that did not, the most frequent kind first. */
  kinds: IFailureKind[];
  /** Line of the cell, counted from 1 at the `%%desipipe` line. */
  line: number | null;
}

/** A task that did not succeed and that others need. */
export interface ICauseView extends IFailureView {
  /** Number of tasks that can't run because of it. */
  count: number;
}

/** A task in a slot. */
export interface IRunningTask extends ITaskLabel {
  since: number | null;
  superseded: boolean;
}

/** The process that keeps enough workers. */
export interface IManagerView {
  name: string;
  host: string;
  pid: number;
  since: number;
  /** None where that is unknown: it runs on another machine. */
  alive: boolean | null;
  /** Its last trouble. */
  says: string;
  stopping: boolean;
}

/** A worker that lives, as far as the journal tells. */
export interface IWorkerView {
  name: string;
  host: string;
  pid: number;
  /** The batch job it runs in; or empty. */
  job: string;
  /** Identity of its task manager; empty if it serves all. */
  mid: string;
  slots: number;
  since: number;
  /** None where that is unknown: it runs on another machine. */
  alive: boolean | null;
  stopping: boolean;
  /** Problem of the moment, and its reason. */
  trouble: string;
  /** Number of tasks in its slots. */
  running: number;
  /** Number of tasks it runs next. */
  claimed: number;
  /** Those in its slots. */
  tasks: IRunningTask[];
  /** Number of processors that it and its tasks kept busy of late; None where it is unknown. */
  cpu: number | null;
  /** Resident bytes of it and its tasks; None where it is unknown. */
  memory: number | null;
}

/** A job of a batch system that has not ended. */
export interface IJobView {
  /** Its number, with its index in an array: `4411_2`. */
  job: string;
  /** Identity of its task manager. */
  mid: string;
  slots: number;
  state: JobState;
  /** Reason that it waits, in the batch system's own word. */
  reason: string;
  node: string;
  /** Time at which it reaches its time limit. */
  ends: number | null;
  /** Names of the workers in it. */
  workers: string[];
  /** Number of tasks in its slots. */
  running: number;
  /** Number of tasks it runs next. */
  claimed: number;
  /** The batch system's cluster, where there are several. */
  cluster?: string;
  /** The first of those in its slots. */
  tasks: ITaskLabel[];
}

/** Jobs of one state and reason. */
export interface IJobGroup {
  state: JobState;
  reason: string;
  n: number;
  /** Number of nodes they run on. */
  nodes: number;
  /** Number of tasks in their slots. */
  running: number;
  /** Times at which the first and the last of them reach their time limit. */
  ends: number[] | null;
}

/** A piece of the journal that can't be read. */
export interface IDamageView {
  file: string;
  offset: number;
  length: number;
}

/** Pending tasks that do not run as this user, in a queue that a group shares. */
export interface IHeldView {
  user: string;
  count: number;
  text: string;
}

/** The owner of a queue, and whether this user may use it. */
export interface IOwnershipView {
  /** Name of the user whose queue it is. */
  owner: string;
  /** True if that is this user. */
  own: boolean;
  /** Name of the group that shares it; or empty. */
  group: string;
  /** Name of the owner if this user does not trust them and may only look; else empty. */
  untrusted: string;
}

/** Members that lists and summaries of a queue have in common. */
export interface IQueueFacts extends IOwnershipView {
  name: string;
  folder: string;
  /** Time at which this was so. */
  time: number;
  state: 'PAUSED' | 'ACTIVE';
  condition: Condition;
  /** Number of tasks that are not superseded; so are the counts. */
  total: number;
  /** By state; what a worker has claimed and not begun is pending. */
  counts: Counts;
  /** Number of tasks of code that the notebook or script has no longer. */
  superseded: number;
  /** Number of pending tasks that a worker has taken. */
  claimed: number;
  /** Number of waiting tasks whose requirements did not succeed. */
  blocked: number;
  /** Number of tasks that have neither ended nor are blocked. */
  left: number;
  manager: IManagerView | null;
  /** The last trouble of the last manager, while tasks wait and there is none. */
  last_says: string;
  /** The most tasks that may run in parallel, by task manager. */
  limits: Record<string, number>;
  /** Tasks per second lately. */
  rate: number | null;
  /** Seconds left at this rate. */
  eta: number | null;
}

/** A queue as lists show it. */
export interface IQueueBrief extends IQueueFacts {
  /** Number of workers that live, as far as the journal tells. */
  workers: number;
}

/** A queue in the server's list. */
export interface IQueueLine extends IQueueBrief {
  /** The shortest name by which a page can ask for it. */
  queue: string;
  /** Empty, since it can be read. */
  error: string;
}

/** A queue in the server's list that can't be read. */
export interface IUnreadableQueue {
  queue: string;
  folder: string;
  condition: 'unreadable';
  /** Reason that it cannot be read. */
  error: string;
}

/** All there is to see of a queue at one glance. */
export interface IQueueSummary extends IQueueFacts {
  workers: IWorkerView[];
  jobs: IJobView[];
  /** The first tasks that did not succeed. */
  failures: IFailureView[];
  /** All that did not, the most frequent kind first. */
  failure_kinds: IFailureKind[];
  /** The one that blocks most first. */
  causes: ICauseView[];
  damage: IDamageView[];
  held: IHeldView[];
}

/** The same as the server answers, which cuts what is very long. */
export interface IQueueView extends IQueueSummary {
  /** The shortest name by which a page can ask for it. */
  queue: string;
  n_workers: number;
  n_jobs: number;
  n_causes: number;
  n_damage: number;
}

/** A task in a list. */
export interface ITaskSummary extends IRelativeView {
  /** True if it is pending and a worker has taken it. */
  claimed: boolean;
  /** Identity of its task manager. */
  mid: string;
  /** Number of times that it began. */
  attempt: number;
  worker: string;
  host: string;
  job: string;
  began: number | null;
  /** None unless it ended. */
  duration: number | null;
  /** The most resident memory of its process, in bytes. */
  memory: number | null;
  /** Reason that it did not succeed. */
  cause: string;
  /** User who added it, in a queue that a group shares. */
  user?: string;
  /** User whose worker ran it, in a queue that a group shares. */
  ran_by?: string;
}

/** A task in a page of a list. */
export interface ITaskRow extends ITaskSummary {
  row: number;
  /** Its arguments in few words: `i=12, k=0.1`. */
  arguments_text: string;
}

/** A page of a list of tasks. */
export interface ITaskPage {
  total: number;
  offset: number;
  tasks: ITaskRow[];
}

/** An attempt at a task that ended. */
export interface IAttemptView {
  attempt: number;
  state: TaskState;
  worker: string;
  host: string;
  /** User whose worker ran it, in a queue that a group shares. */
  user?: string;
  job: string;
  began: number | null;
  duration: number | null;
  memory: number | null;
  cause: string;
  /** True if it is the one that counts. */
  current: boolean;
  /** Bytes of its standard output that are kept. */
  out: number;
  err: number;
}

/** A file that a task read or wrote. */
export interface IFileUse {
  do: 'read' | 'write';
  path: string;
  size: number | null;
  /** Nanoseconds since the epoch. */
  mtime: number | null;
  sha256: string | null;
  of?: number | null;
}

/** All that is known of a task. */
export interface ITaskDetail extends ITaskSummary {
  /** `python` or `bash`. */
  kind: string;
  timeout: number | null;
  retries: number;
  retry_on: string[];
  priority: number;
  cwd: string;
  added: number | null;
  code: string;
  arguments: Record<string, string>;
  /** Versions of the packages that its app uses. */
  versions: Record<string, string>;
  /** Versions of everything else that its worker ran with. */
  environment: Record<string, string>;
  /** The first that its last attempt read and wrote. */
  files: IFileUse[];
  n_files: number;
  attempts: IAttemptView[];
  /** Bytes of standard output that are kept of the last attempt. */
  out: number;
  err: number;
  /** The remote traceback. */
  trace: string;
  /** Bytes of the result, while it runs again of the one before; None if there is none. */
  result: number | null;
  requires: IRelativeView[];
  n_requires: number;
  /** Those of a task that counts: the superseded ones last. */
  dependants: IRelativeView[];
  n_dependants: number;
  /** Number of superseded tasks that need a task that counts; in no other number here. */
  n_superseded_dependants: number;
  /** Problems of what could not be read. */
  problems: string[];
}

/** Other tasks of the same app that succeeded. */
export interface IPeersView {
  n: number;
  median: number;
  least: number;
  most: number;
  /** Median of their memory in bytes. */
  memory: number | null;
}

/** The tasks beside a task. */
export interface IBesideView {
  /** The task that keeps it from running. */
  blocker: ITaskLabel | null;
  previous: ITaskLabel | null;
  next: ITaskLabel | null;
  peers: IPeersView | null;
}

/** The same as the server answers. */
export interface ITaskView extends ITaskDetail, IBesideView {
  row: number;
  /** Its result in few words; empty where that can't be told. */
  preview: string;
  /** Path by which the server shows its folder; None: not at all. */
  path: string | null;
  /** The line of its code that failed, from 1 on. */
  line: number | null;
}

/** The tasks of an app. */
export interface IAppView {
  name: string;
  total: number;
  counts: Counts;
  /** Number of tasks that did not succeed. */
  failed: number;
  /** Seconds that a task took that succeeded. */
  median: number | null;
}

/** Durations of the tasks of an app that succeeded. */
export interface IDurationsView {
  name: string;
  /** Users whose workers ran them, in a queue that a group shares. */
  ran_by?: string;
  n: number;
  mean: number;
  median: number;
  min: number;
  max: number;
  total: number;
}

/** A piece of what a task printed. */
export interface IOutputPiece {
  text: string;
  /** Position where the next piece begins. */
  offset: number;
  /** Names the text that the offset is in: live or kept, of which attempt. */
  part: string;
  /** True if it is the beginning of another text, and replaces what was shown. */
  fresh: boolean;
  /** True if there is more at once. */
  more: boolean;
  /** True if nothing will be added. */
  over: boolean;
  /** Number of the attempt that printed it; 0 if none has begun. */
  attempt: number;
}

/** A display of a task before it is opened. */
export interface IDisplayView {
  number: number;
  /** Bytes by MIME type. */
  kinds: Record<string, number>;
  text: string;
}

/** The displays of a task. */
export interface IDisplayList {
  displays: IDisplayView[];
  total: number;
  /** Name of the user who made them and is not trusted; else empty. */
  untrusted: string;
}

/** One display of a task, whole. */
export interface IDisplayData {
  data: Mime;
  metadata: Mime;
}

/** Text that a task printed, as nbformat has it. */
export interface IStreamOutput {
  output_type: 'stream';
  name: 'stdout' | 'stderr';
  text: string;
}

/** A traceback, as nbformat has it. */
export interface IErrorOutput {
  output_type: 'error';
  ename: string;
  evalue: string;
  traceback: string[];
}

/** A display, as nbformat has it. */
export interface IDisplayOutput {
  output_type: 'display_data';
  data: Mime;
  metadata: Mime;
}

/** State of a cell whose tasks are not of its present text and inputs. */
export interface IBadgeView {
  state: BadgeState;
  reason: string;
  /** `value` if the kernel compared values. */
  by?: 'value';
}

/** Digests of what a cell ran with. */
export interface IRanView {
  text: string;
  reads: Record<string, string>;
}

/** Times of the tasks of a cell. */
export interface ICellTimes {
  /** Tasks per second lately. */
  rate: number | null;
  /** Seconds left at this rate. */
  eta: number | null;
  /** Seconds that the tasks took, without pauses of more than a minute. */
  elapsed: number | null;
  began: number | null;
  ended: number | null;
  /** Time at which the last task ended. */
  computed: number | null;
}

/** All there is to see of the tasks of a cell, or of a queue, in a notebook. */
export interface ICellView extends ICellTimes {
  /** Version of this struct. */
  version: number;
  queue: string;
  folder: string;
  title: string;
  /** The rows of the tasks: `0-19,40`. */
  rows: string;
  /** Identity of the first row's task. */
  first: string;
  time: number;
  condition: Condition;
  /** Number of tasks that are not superseded; so are the counts. */
  total: number;
  counts: Counts;
  claimed: number;
  blocked: number;
  superseded: number;
  left: number;
  /** Number of workers that live; when nothing is left, of those that did it. */
  workers: number;
  /** Slots of these workers. */
  slots: number;
  /** True if all results were there when the cell was run. */
  cached: boolean;
  failure: ICellFailure | null;
  causes: ICauseView[];
  /** The first jobs of batch systems for its task managers, while something is left. */
  jobs: IJobView[];
  n_jobs: number;
  /** All of these jobs, by state and reason. */
  job_groups: IJobGroup[];
  /** In order of the tasks; before those of each of several tasks stands a label. */
  outputs: OutputView[];
  /** Note of what was left out of the outputs; or empty. */
  truncated: string;
  /** Rows, each with its attempt, whose outputs stand under the cell as its own: `0:1,3:2`. */
  published: string;
  /** Fate of the tasks where they no longer exist; or empty. */
  gone: string;
  /** Reason that no worker comes before someone does something about it; or empty. */
  refused: string;
  /** Name of the owner of the queue if they are not trusted; else empty. */
  untrusted: string;
  /** Pairs of words and the command to type. */
  advice: string[][];
  /** `queue` if these are all tasks of a queue, and not of a cell. */
  kind?: 'queue';
  ran?: IRanView;
  badge?: IBadgeView;
}

/** A task cell of a notebook, by its text. */
export interface ICellStateView {
  /** Number of the cell in its notebook, from 1. */
  cell: number;
  title: string;
  state: BadgeState;
  reason: string;
  /** Task cells whose outputs it reads, by the name of the output. */
  needs: Record<string, number>;
}

/** The tasks of a cell, as a request for their summary names them. */
export interface IShownCellView {
  version: number;
  folder: string;
  rows: string;
  first: string;
  title: string;
  ran?: IRanView;
}

/** The last run of a cell, of which its window has no output. */
export interface ICellRunView {
  /** Number of the cell in its notebook, from 1. */
  cell: number;
  display: IShownCellView;
}

/** The task cells of a notebook. */
export interface ICellStatesView {
  cells: ICellStateView[];
  /** Cells that ran since their outputs in this window were made. */
  shown: ICellRunView[];
}

/** Cost of one task of a cell. */
export interface IEstimateView {
  seconds: number;
  /** Number of earlier tasks. */
  runs: number;
  nodes: number | null;
  charge_factor: number | null;
}

/** A task cell of a plan. */
export interface IPlannedCellView extends ICellStateView {
  /** The most tasks that it would add; None where only a kernel can tell. */
  tasks: number | null;
  each: IEstimateView | null;
  seconds: number | null;
  node_hours: number | null;
  charge: number | null;
}

/** Cost of all cells of a plan that are not current. */
export interface IPlanTotalView {
  cells: number;
  tasks: number | null;
  seconds: number | null;
  node_hours: number | null;
  charge: number | null;
}

/** Cost of the task cells that are not current. */
export interface IPlanView {
  cells: IPlannedCellView[];
  /** Cells that a new kernel has to run, in order, from 1. */
  to_run: number[];
  total: IPlanTotalView;
}

/** A task in a graph. */
export interface IGraphTask extends ITaskLabel {
  id: string;
  state: TaskState;
  blocked: boolean;
}

/** An app that stands for its tasks in a graph. */
export interface IGraphApp {
  id: string;
  name: string;
  total: number;
  counts: Counts;
  blocked: number;
}

/** A requirement in a graph. */
export interface IGraphEdge {
  source: string;
  /** The node that needs the source. */
  target: string;
  count: number;
}

/** Graph of which tasks require which. */
export interface IGraphView {
  /** True if apps stand for their tasks. */
  grouped: boolean;
  /** Number of tasks that are not superseded; only these are shown. */
  total: number;
  nodes: Either<IGraphTask, IGraphApp>[];
  edges: IGraphEdge[];
}

/** An attempt in a timeline. */
export interface IAttemptInterval extends ITaskLabel {
  start: number;
  /** None: it runs. */
  end: number | null;
  state: TaskState;
  /** Index among the attempts at once; below the height of the lane. */
  level: number;
  superseded: boolean;
}

/** A piece of a worker's time in which attempts were counted. */
export interface ICountedInterval {
  start: number;
  end: number;
  count: number;
  counts: Counts;
  /** Average number that ran at once. */
  busy: number;
  /** The same of superseded tasks, which are in no other number here. */
  busy_superseded: number;
}

/** A worker's line in a timeline. */
export interface ILaneView {
  worker: string;
  host: string;
  job: string;
  slots: number;
  /** Number that ran at once. */
  height: number;
  intervals: Either<IAttemptInterval, ICountedInterval>[];
}

/** Timeline of which worker ran what when. */
export interface ITimelineView {
  /** Times of the first begin and the last end of all parts; empty if nothing has run. */
  whole: number[];
  began: number | null;
  ended: number | null;
  /** Number of attempts of tasks that are not superseded. */
  total: number;
  /** Number of attempts of superseded tasks. */
  superseded: number;
  /** True if attempts are counted instead of shown one by one. */
  aggregated: boolean;
  lanes: ILaneView[];
  /** Number of workers that are left out. */
  hidden: number;
}

/** An order was done. */
export interface IDone {
  message: string;
}

/** An order changed tasks. */
export interface IChanged extends IDone {
  tasks: number;
}

/** Processes were asked to end. */
export interface IStopped extends IDone {
  workers: string[];
  manager: boolean;
  /** Number of workers that were found dead. */
  vanished: number;
}

/** A manager was started. */
export interface IStarted extends IDone {
  pid: number;
  log: string;
}

/** An error of the server. */
export interface IFailure {
  /** Name of a class of `desipipe.errors`, or HTTP's words. */
  error: string;
  /** Problem, consequence, and what to do. */
  message: string;
}

/** Why a queue that a page follows can't be read. */
export interface ITrouble extends IFailure {
  queue: string;
  folder: string;
}

/** Symbols of states, which have no colour. */
export const SYMBOLS: Readonly<Record<ShownState, string>> = {
  'WAITING': '◌',
  'PENDING': '○',
  'CLAIMED': '◔',
  'RUNNING': '●',
  'SUCCEEDED': '✓',
  'FAILED': '✕',
  'KILLED': '⊘',
  'UNKNOWN': '?',
  'BLOCKED': '‖',
  'SUPERSEDED': '↷',
  'DELETED': '–',
};

/** The same of conditions. */
export const CONDITION_SYMBOLS: Readonly<Record<Condition, string>> = {
  'empty': '·',
  'running': '●',
  'paused': '‖',
  'stopped': '■',
  'failed': '✕',
  'done': '✓',
};

/** The same of task cells. */
export const BADGE_SYMBOLS: Readonly<Record<BadgeState, string>> = {
  'current': '✓',
  'edited': '✎',
  'stale': '↻',
  'running': '●',
  'paused': '‖',
  'no worker': '■',
  'failed': '✕',
  'never run': '○',
  'unknown': '?',
};

/** Tasks whose outputs are shown one below the other; those of more are folded. */
export const UNFOLDED_MAX = 8;

/** Tasks of those that are shown a row each; the others are below one row. */
export const ROWS_MAX = 40;
