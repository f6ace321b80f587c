/**
 * The page of a task, in the main area.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Highlight, TaskView } from './components/taskview';
import { Banner } from './components/bits';
import { trouble } from './panel';
import { TaskModel } from './task';
import { ITask, ITaskLabel, label } from './tokens';
import { Page } from './watched';

export { TaskModel };

/** What the page asks of those who own it. */
export interface ITaskCallbacks {
  task: (folder: string, task: ITaskLabel) => void;
  retry: (folder: string, tid: string) => Promise<boolean>;
  cancel: (folder: string, task: ITaskLabel) => Promise<boolean>;
  cell: (folder: string, task: ITask) => void;
  queue: (folder: string) => void;
  trust: (folder: string, tid: string, user: string) => Promise<boolean>;
  highlight: Highlight;
}

/** Shows a task while it is looked at. */
export class TaskPage extends Page<TaskModel> {
  constructor(
    model: TaskModel,
    readonly queue: string,
    name: string,
    readonly callbacks: ITaskCallbacks,
    readonly trans: TranslationBundle
  ) {
    super(model, name, trans.__('Task %1', name));
    this.addClass('jp-desipipe-TaskPage');
    this.node.dataset.folder = model.folder;
    this.node.dataset.tid = model.tid;
    model.changed.connect(() => {
      if (model.task) {
        this.title.label = label(model.task);
        this.title.caption = `${label(model.task)} · ${queue}`;
        this.node.setAttribute(
          'aria-label',
          trans.__('Task %1', label(model.task))
        );
      }
      this.update();
    }, this);
    for (const log of [model.out, model.err]) {
      log.changed.connect(() => this.update(), this);
    }
    model.follower.changed.connect(() => this.update(), this);
  }

  protected render(): JSX.Element {
    const { model, callbacks, trans } = this;
    const { folder, tid, task, out, err } = model;
    const problem = trouble(model, trans);
    if (!task) {
      return problem ? (
        <Banner>{problem}</Banner>
      ) : (
        <div className="jp-desipipe-empty">
          {trans.__('Looking for the task…')}
        </div>
      );
    }
    return (
      <TaskView
        task={task}
        queue={this.queue}
        problem={problem}
        out={{ lines: out.lines, dropped: out.dropped }}
        err={{ lines: err.lines, dropped: err.dropped }}
        highlight={callbacks.highlight}
        displays={model.displays}
        onTask={other => callbacks.task(folder, other)}
        onRetry={() => void callbacks.retry(folder, tid)}
        onCancel={() => void callbacks.cancel(folder, task)}
        onCell={() => callbacks.cell(folder, task)}
        onQueue={() => callbacks.queue(folder)}
        onTrust={user => callbacks.trust(folder, tid, user)}
        trans={trans}
      />
    );
  }
}
