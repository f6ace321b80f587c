/**
 * What people have done to queues from the panel: asked first where something would be lost, told of when it did not work.
 */
import {
  Dialog,
  InputDialog,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { confirmTrust } from '../components/confirm';
import { number } from '../format';
import type { Api } from '../request';
import type { IQueueLine, ITaskLabel, IWorker } from './tokens';
import { label } from './tokens';

interface IAnswer {
  message: string;
}

/** Orders to the server. None rejects. */
export class Actions {
  constructor(
    private readonly _api: Api,
    private readonly _trans: TranslationBundle
  ) {}

  /** Start a manager. */
  start(line: IQueueLine): Promise<boolean> {
    return this._order('spawn', { queue: line.folder });
  }

  pause(line: IQueueLine): Promise<boolean> {
    return this._order('pause', { queue: line.folder }, false);
  }

  resume(line: IQueueLine): Promise<boolean> {
    return this._order('resume', { queue: line.folder }, false);
  }

  /** Let what did not succeed run again. */
  retry(line: IQueueLine): Promise<boolean> {
    return this._order('retry', { queue: line.folder, spawn: true });
  }

  /** Let what is left not run. */
  async cancel(line: IQueueLine): Promise<boolean> {
    const { _trans: trans } = this;
    const { RUNNING = 0, PENDING = 0, WAITING = 0 } = line.counts;
    const sure = await this._ask(
      trans.__('Cancel what is left of %1?', line.queue),
      [
        trans._n(
          '%2 task has not ended yet.',
          '%2 tasks have not ended yet.',
          RUNNING + PENDING + WAITING,
          number(RUNNING + PENDING + WAITING)
        ),
        RUNNING
          ? trans._n(
              '%2 of them runs now: what it has computed so far is lost.',
              '%2 of them run now: what they have computed so far is lost.',
              RUNNING,
              number(RUNNING)
            )
          : '',
        trans.__('Results that are there stay. Retry brings back the others.')
      ],
      trans.__('Keep them'),
      trans.__('Cancel tasks')
    );
    return (
      sure &&
      this._order('cancel', {
        queue: line.folder,
        states: ['RUNNING', 'PENDING', 'WAITING']
      })
    );
  }

  /** Trust the user whose outputs are shown as text. */
  async trust(folder: string, tid: string, user: string): Promise<boolean> {
    return (
      (await confirmTrust(user, this._trans)) &&
      this._order('trust', { queue: folder, user, tids: [tid] })
    );
  }

  /** End all workers and the manager. */
  async kill(line: IQueueLine): Promise<boolean> {
    const { _trans: trans } = this;
    const running = line.counts.RUNNING ?? 0;
    const sure = await this._ask(
      trans.__('End all workers of %1?', line.queue),
      [
        trans.__(
          'The manager ends too: nothing runs until someone starts it again.'
        ),
        running
          ? trans._n(
              '%2 task runs now: it is killed, and what it has computed so far is lost. Retry lets it run again.',
              '%2 tasks run now: they are killed, and what they have computed so far is lost. Retry lets them run again.',
              running,
              number(running)
            )
          : trans.__('No task runs now: nothing is lost.')
      ],
      trans.__('Keep them'),
      trans.__('End workers')
    );
    return sure && this._order('kill', { queue: line.folder });
  }

  /** End one worker: the job that it is. */
  async endWorker(folder: string, worker: IWorker): Promise<boolean> {
    const { _trans: trans } = this;
    const sure = await this._ask(
      trans.__('End the worker %1?', worker.job || worker.name),
      [
        worker.tasks.length
          ? trans._n(
              '%2 task runs in it now: it is killed, and what it has computed so far is lost. Retry lets it run again.',
              '%2 tasks run in it now: they are killed, and what they have computed so far is lost. Retry lets them run again.',
              worker.tasks.length,
              number(worker.tasks.length)
            )
          : trans.__('Nothing runs in it: nothing is lost.'),
        trans.__('The manager may start another one in its place.')
      ],
      trans.__('Keep it'),
      trans.__('End worker')
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
  async delete(line: IQueueLine): Promise<boolean> {
    const { _trans: trans } = this;
    const sure = await this._ask(
      trans.__('Delete the queue %1?', line.queue),
      [
        trans._n(
          '%2 task and its result are deleted for good, with the folder:',
          '%2 tasks and their results are deleted for good, with the folder:',
          line.total,
          number(line.total)
        ),
        line.folder,
        trans.__(
          'This cannot be undone. Running the notebook again computes everything anew.'
        )
      ],
      trans.__('Keep it'),
      trans.__('Delete')
    );
    return sure && this._order('delete', { queue: line.folder });
  }

  /** Let another number of tasks run at once. */
  async resize(line: IQueueLine): Promise<boolean> {
    const { _trans: trans } = this;
    const answer = await InputDialog.getNumber({
      title: trans.__('How many tasks of %1 may run at once?', line.queue),
      label: trans.__('For each of its task managers'),
      okLabel: trans.__('Change'),
      value: line.counts.RUNNING || 1
    });
    const n = answer.button.accept ? answer.value : null;
    return (
      n !== null &&
      this._order('resize', { queue: line.folder, max_workers: Math.round(n) })
    );
  }

  /** Let a task run again. */
  retryTask(folder: string, tid: string): Promise<boolean> {
    return this._order(
      'retry',
      { queue: folder, tids: [tid], spawn: true },
      false
    );
  }

  /** Let a task not run, or stop it. */
  async cancelTask(folder: string, task: ITaskLabel): Promise<boolean> {
    const { _trans: trans } = this;
    const sure = await this._ask(
      trans.__('Cancel %1?', label(task)),
      [
        trans.__(
          'If it runs, what it has computed so far is lost. Retry lets it run again.'
        )
      ],
      trans.__('Keep it'),
      trans.__('Cancel task')
    );
    return (
      sure && this._order('cancel', { queue: folder, tids: [task.tid] }, false)
    );
  }

  private async _ask(
    title: string,
    lines: string[],
    no: string,
    yes: string
  ): Promise<boolean> {
    const answer = await showDialog({
      title,
      body: lines.filter(line => line).join(' '),
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
