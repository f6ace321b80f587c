/**
 * Words of the panel: types of what the server sends, ids of commands and of places. Imports nothing but the front end's own words.
 */
import type {
  Either,
  IAttemptInterval,
  ICountedInterval,
  IGraphApp,
  IGraphTask,
  IQueueLine,
  ITaskLabel,
  LineCondition
} from '../generated/view';
import type { Shown } from '../tokens';

export type {
  IAppView,
  IAttemptView,
  IDisplayList,
  IDisplayView,
  IGraphView,
  IJobView,
  ILaneView,
  IManagerView,
  IOutputPiece,
  IPeersView,
  IQueueView,
  IRelativeView,
  ITaskLabel,
  ITaskPage,
  ITaskRow,
  ITaskSummary,
  ITaskView,
  ITimelineView,
  IWorkerView
} from '../generated/view';

/** A queue in the list; of one that can't be read only `queue`, `folder`, `condition` and `error` are there. */
export type IListedQueue = Omit<IQueueLine, 'condition'> & {
  condition: LineCondition;
};

/** Node of a graph. */
export type INode = Either<IGraphTask, IGraphApp>;

/** What a worker did, from when to when. */
export type IInterval = Either<IAttemptInterval, ICountedInterval>;

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

/** A filter that everything passes. */
export const NO_FILTER: IFilter = {
  state: '',
  text: '',
  cell: null,
  order: ''
};

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
