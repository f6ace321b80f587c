/**
 * The panel in the sidebar.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { ISignal, Signal } from '@lumino/signaling';
import React from 'react';

import { RequestError } from '../request';
import { QueueList } from './components/queuelist';
import { QueueView } from './components/queueview';
import type { FollowedModel } from './followed';
import { pipeIcon } from './icon';
import type { NotebookQueues } from './notebookqueues';
import { QueueModel } from './queue';
import { QueuesModel } from './queues';
import {
  IFilter,
  IPanelState,
  IListedQueue,
  ITaskLabel,
  ITaskRow,
  IWorkerView,
  NO_FILTER,
  PANEL_ID,
  TasksAction
} from './tokens';
import { WatchedWidget } from './watched';

/** What the panel asks of those who own it. */
export interface IPanelCallbacks {
  /** Do something with a queue; by default with the one that is open. */
  command: (command: string, line?: IListedQueue) => void;
  /** Show the settings; `null` where there are none. */
  settings: (() => void) | null;
  menu: (line: IListedQueue, button: HTMLElement) => void;
  task: (folder: string, task: ITaskLabel) => void;
  tasks: (
    folder: string,
    action: TasksAction,
    tasks: readonly ITaskRow[]
  ) => void;
  endWorker: (folder: string, worker: IWorkerView) => void;
}

/** Queues, and one of them open. */
export class DesipipePanel extends WatchedWidget {
  constructor(
    readonly queues: QueuesModel,
    readonly callbacks: IPanelCallbacks,
    readonly trans: TranslationBundle,
    readonly notebook: NotebookQueues | null = null
  ) {
    super();
    this.id = PANEL_ID;
    this.addClass('jp-desipipe-Panel');
    this.title.icon = pipeIcon;
    this.title.caption = trans.__('desipipe: queues and their tasks');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('desipipe'));
    queues.changed.connect(this._onQueues, this);
    notebook?.changed.connect(this._onQueues, this);
  }

  /** What it is to remember has changed. */
  get stateChanged(): ISignal<this, IPanelState> {
    return this._stateChanged;
  }

  /** The queue that is open. */
  get open(): QueueModel | null {
    return this._open;
  }

  /** What it is to remember. */
  get state(): IPanelState {
    return this._state;
  }

  set state(state: IPanelState) {
    if (state.open !== this._open?.folder) {
      this._open?.dispose();
      this._open = null;
      if (state.open) {
        this._open = new QueueModel(this.queues.follower, state.open);
        this._open.changed.connect(() => this.update());
      }
    }
    if (this._open) {
      this._open.tasks.filter = state.filter;
    }
    this._state = state;
    this.look();
    this._stateChanged.emit(state);
    this.update();
  }

  /** What is known of a task: it is listed, or runs. */
  task(folder: string, tid: string): ITaskRow | undefined {
    if (folder !== this._open?.folder) {
      return undefined;
    }
    const { summary, tasks } = this._open;
    const isRunning = summary?.workers.some(worker =>
      worker.tasks.some(task => task.tid === tid)
    );
    return (
      tasks.find(tid) ??
      (isRunning ? ({ tid, state: 'RUNNING' } as ITaskRow) : undefined)
    );
  }

  /** The tasks that are selected, if a task is one of several. */
  selection(folder: string, tid: string): readonly ITaskRow[] {
    const selected =
      folder === this._open?.folder ? this._open.tasks.selected : null;
    return selected?.has(tid) && selected.size > 1
      ? [...selected.values()]
      : [];
  }

  /** Open a queue, and show its tasks that pass a filter. */
  showTasks(folder: string, filter: IFilter = NO_FILTER): void {
    this.state = { ...this._state, open: folder, filter };
  }

  override dispose(): void {
    this._open?.dispose();
    Signal.clearData(this);
    super.dispose();
  }

  protected onWatched(watched: boolean): void {
    this.queues.visible = watched;
    if (this._open) {
      this._open.visible = watched;
    }
    if (watched) {
      this.update();
    }
  }

  /** Take the focus, so that keys go on from the queue that is open, or from the first one. */
  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    if (!this.node.contains(document.activeElement)) {
      const toggle =
        this.node.querySelector<HTMLElement>(
          '[data-open="true"] .jp-desipipe-toggle'
        ) ?? this.node.querySelector<HTMLElement>('.jp-desipipe-toggle');
      (toggle ?? this.node).focus();
    }
  }

  private _onQueues(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  protected render(): JSX.Element {
    const { queues, callbacks, trans, _state: state } = this;
    return (
      <QueueList
        lines={queues.lines}
        problem={words(queues.problem, trans)}
        lost={queues.isLost}
        heard={queues.heard}
        open={state.open}
        front={this.notebook?.among(queues.lines ?? [])}
        refusals={queues.lines ? this.notebook?.refusals(queues.lines) : []}
        onToggle={folder =>
          this.showTasks(folder === state.open ? '' : folder, NO_FILTER)
        }
        onDismiss={folder => queues.dismiss(folder)}
        onCommand={callbacks.command}
        onSettings={callbacks.settings}
        onMenu={callbacks.menu}
        trans={trans}
      >
        {line => this._view(line)}
      </QueueList>
    );
  }

  private _view(line: IListedQueue): JSX.Element | null {
    const { callbacks, trans, _open: open, _state: state } = this;
    if (!open) {
      return null;
    }
    // That there is no answer is said once, above all queues.
    const told = (problem: Error | null) =>
      this.queues.isLost ? '' : words(problem, trans);
    return (
      <QueueView
        key={line.folder}
        line={line}
        summary={open.summary}
        problem={told(open.problem)}
        filter={state.filter}
        workers={state.workers}
        tasks={open.tasks}
        words={told}
        onCommand={command => callbacks.command(command, line)}
        onFilter={filter => {
          this.state = { ...this._state, filter };
        }}
        onWorkers={workers => {
          this.state = { ...this._state, workers };
        }}
        onEndWorker={worker => callbacks.endWorker(line.folder, worker)}
        onTask={task => callbacks.task(line.folder, task)}
        onTasks={(action, tasks) => callbacks.tasks(line.folder, action, tasks)}
        apps={open.apps}
        trans={trans}
      />
    );
  }

  private _open: QueueModel | null = null;
  private _state: IPanelState = {
    open: null,
    filter: NO_FILTER,
    workers: true
  };
  private _stateChanged = new Signal<this, IPanelState>(this);
}

/** What is wrong, and what to do. */
export function words(problem: Error | null, trans: TranslationBundle): string {
  if (problem instanceof RequestError) {
    if (problem.isAbsent) {
      return trans.__(
        'desipipe is not installed on this Jupyter server. Install it in the environment that the server runs in, and restart the server.'
      );
    }
    if (!problem.kind && (problem.status === 401 || problem.status === 403)) {
      return trans.__(
        'The session has expired. Reload the page, with its token.'
      );
    }
  }
  return problem?.message ?? '';
}

/** What is wrong with what a page shows. */
export function trouble(
  model: FollowedModel,
  trans: TranslationBundle
): string {
  return model.follower.isLost
    ? trans.__(
        'No connection to the server. Showing an earlier state; retrying…'
      )
    : words(model.problem, trans);
}
