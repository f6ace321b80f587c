/**
 * What the view of an open queue and its parts get to show.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { TasksModel } from '../tasks';
import type {
  IAppView,
  IFilter,
  IListedQueue,
  IQueueView,
  ITaskLabel,
  ITaskRow,
  IWorkerView,
  TasksAction
} from '../tokens';

/** Properties of the view of an open queue. */
export interface IQueueViewProps {
  line: IListedQueue;
  /** `null` before it was told. */
  summary: IQueueView | null;
  problem: string;
  filter: IFilter;
  /** Whether the workers are shown. */
  workers: boolean;
  /** Known page by page; it tells of its changes itself, because there are many while one scrolls. */
  tasks: TasksModel;
  /** Why the tasks are not told; empty where that is said elsewhere. */
  words: (problem: Error | null) => string;
  onCommand: (command: string) => void;
  onFilter: (filter: IFilter) => void;
  onWorkers: (open: boolean) => void;
  onEndWorker: (worker: IWorkerView) => void;
  onTask: (task: ITaskLabel) => void;
  /** Do something with several tasks. */
  onTasks: (action: TasksAction, tasks: readonly ITaskRow[]) => void;
  /** Ask the server for the apps of the queue. */
  apps?: () => Promise<IAppView[]>;
  trans: TranslationBundle;
}
