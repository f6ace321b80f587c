/**
 * The page of a task, in the main area.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { Banner } from './components/bits';
import type { Highlight } from './components/code';
import type { ILog } from './components/logview';
import { TaskView } from './components/taskview';
import type { LogModel } from './log';
import { trouble } from './panel';
import { TaskModel } from './task';
import { ITaskView, ITaskLabel, label } from './tokens';
import { Page } from './watched';

export { TaskModel };

/** What the page asks of those who own it. */
export interface ITaskCallbacks {
  task: (folder: string, task: ITaskLabel) => void;
  retry: (folder: string, task: ITaskView) => Promise<boolean>;
  cancel: (folder: string, task: ITaskView) => Promise<boolean>;
  /** Show the cell that made a task; `null` where there are no notebooks. */
  cell: ((folder: string, task: ITaskView) => void) | null;
  queue: (folder: string) => void;
  trust: (folder: string, tid: string, user: string) => Promise<boolean>;
  highlight: Highlight;
}

/** Shows a task while it is looked at. */
export class TaskPage extends Page<TaskModel> {
  constructor(
    model: TaskModel,
    queue: string,
    name: string,
    readonly callbacks: ITaskCallbacks,
    readonly trans: TranslationBundle
  ) {
    super(model, name, trans.__('Task %1', name));
    this.addClass('jp-desipipe-TaskPage');
    this._queue = queue;
    this._connect(model);
    model.follower.changed.connect(() => this.update(), this);
  }

  /** Show another task instead. */
  showTask(model: TaskModel, queue: string, name: string): void {
    this._queue = queue;
    this.title.label = name;
    this.node.scrollTop = 0;
    const { activeElement: active } = document;
    if (active && this.node.contains(active)) {
      // What had the focus is replaced: the page keeps it until its like is there.
      this._focused = active.getAttribute('aria-label');
      this.node.focus();
    }
    this._connect(model);
    this.replaceModel(model);
  }

  protected override onUpdateRequest(msg: Message): void {
    super.onUpdateRequest(msg);
    void this.renderPromise?.then(() => this._refocus());
  }

  /** Give the focus to the button that had it when another task was shown. */
  private _refocus(): void {
    const label = this._focused;
    if (label !== null && this.model.task) {
      this._focused = null;
      if (document.activeElement === this.node) {
        [...this.node.querySelectorAll<HTMLElement>('button:enabled')]
          .find(button => button.getAttribute('aria-label') === label)
          ?.focus();
      }
    }
  }

  private _connect(model: TaskModel): void {
    this.node.dataset.folder = model.folder;
    this.node.dataset.tid = model.tid;
    model.changed.connect(() => {
      const { task } = model;
      if (task) {
        this.title.label = label(task);
        this.title.caption = `${label(task)} · ${this._queue}`;
        this.node.setAttribute(
          'aria-label',
          this.trans.__('Task %1', label(task))
        );
      }
      this.update();
    }, this);
    for (const log of [model.out, model.err]) {
      log.changed.connect(() => this.update(), this);
    }
  }

  protected render(): JSX.Element {
    const { model, callbacks, trans } = this;
    const { folder, tid, task, out, err } = model;
    const problem = trouble(model, trans);
    if (!task) {
      return problem ? (
        <Banner>{problem}</Banner>
      ) : (
        <div className="jp-desipipe-empty">{trans.__('Loading task…')}</div>
      );
    }
    return (
      <TaskView
        task={task}
        queue={this._queue}
        key={tid}
        problem={problem}
        gone={model.isGone}
        out={logOf(out)}
        err={logOf(err)}
        highlight={callbacks.highlight}
        displays={model.displays}
        onTask={other => callbacks.task(folder, other)}
        onRetry={() => void callbacks.retry(folder, task)}
        onCancel={() => void callbacks.cancel(folder, task)}
        onCell={callbacks.cell && (() => callbacks.cell?.(folder, task))}
        onQueue={() => callbacks.queue(folder)}
        onAttempt={attempt => {
          model.attempt = attempt;
        }}
        onTrust={user => callbacks.trust(folder, tid, user)}
        trans={trans}
      />
    );
  }

  private _focused: string | null = null;
  private _queue: string;
}

function logOf(model: LogModel): ILog {
  const { lines, times, dropped, attempt } = model;
  return { lines, times, dropped, attempt, all: () => model.all() };
}
