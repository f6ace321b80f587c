/**
 * Orders to the server that people give in the panel: confirmed first where something would be lost, and reported when they fail.
 */
import {
  Dialog,
  InputDialog,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { confirmTrust } from '../components/confirm';
import { number } from '../format';
import type { Api } from '../request';
import { canCancel, canRunAgain, isRunAgain } from './components/bits';
import type {
  IListedQueue,
  ITaskSummary,
  ITaskView,
  IWorkerView
} from './tokens';
import { label } from './tokens';

interface IAnswer {
  message: string;
}

/** The body of a dialog: a path, as of a folder, runs into no sentence. */
function paragraphs(lines: readonly string[]): Widget {
  const node = document.createElement('div');
  node.className = 'jp-desipipe-question';
  node.append(
    ...lines.map(line => {
      const paragraph = document.createElement('p');
      paragraph.textContent = line;
      return paragraph;
    })
  );
  return new Widget({ node });
}

/** Whether a task that runs again has a result, which stays if it is cancelled. */
function keepsResult(
  task: ITaskSummary & Partial<Pick<ITaskView, 'result'>>
): boolean {
  return (task.result ?? null) !== null;
}

/** Orders to the server. None rejects. */
export class Actions {
  constructor(
    private readonly _api: Api,
    private readonly _trans: TranslationBundle
  ) {}

  /** Start a manager, which starts workers. */
  start(line: IListedQueue): Promise<boolean> {
    return this._order('spawn', { queue: line.folder });
  }

  pause(line: IListedQueue): Promise<boolean> {
    return this._order('pause', { queue: line.folder }, false);
  }

  /** Resume a queue, and start workers if there are none. */
  resume(line: IListedQueue): Promise<boolean> {
    return this._order('resume', { queue: line.folder, spawn: true }, false);
  }

  /** Run the tasks again that did not succeed. */
  retry(line: IListedQueue): Promise<boolean> {
    return this._order('retry', { queue: line.folder, spawn: true });
  }

  /** Cancel the tasks that have not ended. */
  async cancel(line: IListedQueue): Promise<boolean> {
    const { _trans: trans } = this;
    const { RUNNING = 0, PENDING = 0, WAITING = 0 } = line.counts;
    const sure = await this._ask(
      trans.__('Cancel the remaining tasks of %1?', line.queue),
      [
        trans._n(
          '%2 task has not ended yet.',
          '%2 tasks have not ended yet.',
          RUNNING + PENDING + WAITING,
          number(RUNNING + PENDING + WAITING)
        ),
        this._lost(RUNNING),
        trans.__('Finished results stay. Retry runs the others again.')
      ],
      trans.__('Cancel tasks'),
      trans.__('Don’t cancel')
    );
    return (
      sure &&
      this._order('cancel', {
        queue: line.folder,
        states: ['RUNNING', 'PENDING', 'WAITING']
      })
    );
  }

  /** Delete the superseded tasks of a queue, with their results. */
  async clearSuperseded(line: IListedQueue): Promise<boolean> {
    const { _trans: trans } = this;
    const n = line.superseded ?? 0;
    const sure = await this._ask(
      trans.__('Clear the superseded tasks of %1?', line.queue),
      [
        trans._n(
          '%2 task whose code was edited since is deleted, with its result.',
          '%2 tasks whose code was edited since are deleted, with their results.',
          n,
          number(n)
        ),
        trans.__(
          'If you go back to the old code, it is computed again. Tasks that still run stay.'
        )
      ],
      trans.__('Clear')
    );
    return sure && this._order('forget', { queue: line.folder });
  }

  /** Trust the user whose outputs are shown as text. */
  async trust(folder: string, tid: string, user: string): Promise<boolean> {
    return (
      (await confirmTrust(user, this._trans)) &&
      this._order('trust', { queue: folder, user, tids: [tid] })
    );
  }

  /** Stop all workers and the manager. */
  async kill(line: IListedQueue): Promise<boolean> {
    const { _trans: trans } = this;
    const running = line.counts.RUNNING ?? 0;
    const sure = await this._ask(
      trans.__('Stop all workers of %1?', line.queue),
      [
        trans.__(
          'The manager stops too: no task starts until workers are started again.'
        ),
        running
          ? trans._n(
              '%2 task is running: it is killed, and what it has computed so far is lost. Retry runs it again.',
              '%2 tasks are running: they are killed, and what they have computed so far is lost. Retry runs them again.',
              running,
              number(running)
            )
          : trans.__('No task is running: nothing is lost.')
      ],
      trans.__('Stop workers')
    );
    return sure && this._order('kill', { queue: line.folder });
  }

  /** Stop one worker: the job that it is. */
  async endWorker(folder: string, worker: IWorkerView): Promise<boolean> {
    const { _trans: trans } = this;
    const n = worker.tasks.filter(({ superseded }) => !superseded).length;
    const sure = await this._ask(
      trans.__('Stop the worker %1?', worker.job || worker.name),
      [
        n
          ? trans._n(
              '%2 task is running in it: it is killed, and what it has computed so far is lost. Retry runs it again.',
              '%2 tasks are running in it: they are killed, and what they have computed so far is lost. Retry runs them again.',
              n,
              number(n)
            )
          : trans.__('No task is running in it: nothing is lost.'),
        trans.__('The manager may start another worker instead.')
      ],
      trans.__('Stop worker')
    );
    return (
      sure &&
      this._order('kill', {
        queue: folder,
        jobids: [worker.job || worker.name]
      })
    );
  }

  /** Delete a queue, with its results. */
  async delete(line: IListedQueue): Promise<boolean> {
    const { _trans: trans } = this;
    const n = line.total + (line.superseded ?? 0);
    const sure = await this._ask(
      trans.__('Delete the queue %1?', line.queue),
      [
        trans._n(
          '%2 task and its result are deleted, with the folder:',
          '%2 tasks and their results are deleted, with the folder:',
          n,
          number(n)
        ),
        line.folder,
        trans.__(
          'This cannot be undone. Running the notebook again will recompute everything.'
        )
      ],
      trans.__('Delete'),
      trans.__('Don’t delete')
    );
    return sure && this._order('delete', { queue: line.folder });
  }

  /** Set how many tasks may run in parallel. */
  async resize(line: IListedQueue): Promise<boolean> {
    const { _trans: trans } = this;
    const limits = Object.values(line.limits ?? {});
    const now = limits.length ? Math.max(...limits) : null;
    const many = limits.length > 1;
    const answer = await InputDialog.getNumber({
      title: trans.__('Limit of parallel tasks'),
      label: [
        many
          ? trans.__(
              'Run at most this many tasks of %1 in parallel, for each of its %2 task managers',
              line.queue,
              limits.length
            )
          : trans.__(
              'Run at most this many tasks of %1 in parallel',
              line.queue
            ),
        now === null
          ? ''
          : trans.__(
              '(now: %1)',
              [...new Set(limits)].map(n => number(n)).join(', ')
            )
      ].join(' '),
      okLabel: trans.__('Change'),
      value: now ?? (line.counts.RUNNING || 1)
    });
    const n = answer.button.accept ? answer.value : null;
    return (
      n !== null &&
      this._order('resize', { queue: line.folder, max_workers: Math.round(n) })
    );
  }

  /** Run a task again. */
  retryTask(folder: string, task: ITaskSummary): Promise<boolean> {
    return this.retryTasks(folder, [task], false);
  }

  /** Run those tasks again that have ended; confirmed first where a result would be replaced. */
  async retryTasks(
    folder: string,
    tasks: readonly ITaskSummary[],
    told = true
  ): Promise<boolean> {
    const { _trans: trans } = this;
    const ended = tasks.filter(canRunAgain);
    const succeeded = ended.filter(isRunAgain);
    const n = succeeded.length;
    const sure =
      !n ||
      (await this._ask(
        n === 1
          ? trans.__('Run %1 again?', label(succeeded[0]))
          : trans.__('Run %1 succeeded tasks again?', number(n)),
        [
          trans._n(
            'Its result stays until the new one is there. To keep it, cancel the new run.',
            'Their results stay until the new ones are there. To keep them, cancel the new runs.',
            n
          ),
          trans.__('Tasks that used the old results are not run again.'),
          ended.length > n
            ? trans._n(
                '%2 other task is retried, too.',
                '%2 other tasks are retried, too.',
                ended.length - n,
                number(ended.length - n)
              )
            : ''
        ],
        trans.__('Run again')
      ));
    return (
      sure &&
      ended.length > 0 &&
      this._order(
        'retry',
        { queue: folder, tids: ended.map(({ tid }) => tid), spawn: true },
        told
      )
    );
  }

  /** Cancel a task. */
  cancelTask(folder: string, task: ITaskSummary): Promise<boolean> {
    return this.cancelTasks(folder, [task], false);
  }

  /** Cancel those tasks that have not ended. */
  async cancelTasks(
    folder: string,
    tasks: readonly ITaskSummary[],
    told = true
  ): Promise<boolean> {
    const { _trans: trans } = this;
    const left = tasks.filter(canCancel);
    if (!left.length) {
      return false;
    }
    const running = left.filter(({ state }) => state === 'RUNNING').length;
    const sure = await this._ask(
      left.length === 1
        ? trans.__('Cancel %1?', label(left[0]))
        : trans.__('Cancel %1 tasks?', number(left.length)),
      [
        this._lost(running) || trans.__('Nothing is lost.'),
        left.length > 1
          ? trans.__(
              'Retry runs cancelled tasks again. Those that have an earlier result keep it.'
            )
          : keepsResult(left[0])
            ? trans.__('Its earlier result stays.')
            : trans.__('Retry runs cancelled tasks again.')
      ],
      left.length === 1 ? trans.__('Cancel task') : trans.__('Cancel tasks'),
      trans.__('Don’t cancel')
    );
    const tids = left.map(({ tid }) => tid);
    return sure && this._order('cancel', { queue: folder, tids }, told);
  }

  private _lost(running: number): string {
    return running
      ? this._trans._n(
          '%2 task is running: what it has computed so far is lost.',
          '%2 tasks are running: what they have computed so far is lost.',
          running,
          number(running)
        )
      : '';
  }

  private async _ask(
    title: string,
    lines: string[],
    yes: string,
    no = this._trans.__('Cancel')
  ): Promise<boolean> {
    const answer = await showDialog({
      title,
      body: paragraphs(lines.filter(line => line)),
      buttons: [
        Dialog.cancelButton({ label: no }),
        Dialog.warnButton({ label: yes })
      ],
      defaultButton: 0
    });
    return answer.button.accept;
  }

  private async _order(
    action: string,
    body: object,
    told = true
  ): Promise<boolean> {
    try {
      const { message } = await this._api.order<IAnswer>(action, body);
      if (told) {
        Notification.info(message, { autoClose: 3000 });
      }
      return true;
    } catch (error) {
      Notification.error(error instanceof Error ? error.message : `${error}`, {
        autoClose: false
      });
      return false;
    }
  }
}
