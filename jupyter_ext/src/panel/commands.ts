/**
 * Commands of the panel: of all queues, of one queue, of one task.
 */
import {
  ICommandPalette,
  InputDialog,
  Notification
} from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { Follower } from '../model';
import type { ICellView } from '../tokens';
import { Actions } from './actions';
import type { Cells } from './cells';
import type { IHost, InsertUse } from './host';
import { bad, canCancel, canRunAgain, isRunAgain } from './components/bits';
import type { Pages } from './pages';
import type { DesipipePanel } from './panel';
import {
  COMMANDS,
  IListedQueue,
  ITaskView,
  ITaskRow,
  NO_FILTER,
  PANEL_ID
} from './tokens';

type Arguments = ReadonlyPartialJSONObject;

/** What commands act on. */
export interface ICommandsOptions {
  app: IHost;
  panel: DesipipePanel;
  pages: Pages;
  actions: Actions;
  follower: Follower;
  cells: Cells | null;
  insertUse: InsertUse | null;
  /** `null` where nothing can be set. */
  registry: ISettingRegistry | null;
  notebooks: INotebookTracker | null;
  palette: ICommandPalette | null;
  trans: TranslationBundle;
}

/** How a command is shown, and when it can be run. */
interface ICommand {
  /** In menus. */
  label: string | ((args: Arguments) => string);
  /** In the palette, which shows no category; nothing: it is not listed there. */
  listed?: string;
  execute: (args: Arguments) => unknown;
  isEnabled?: (args: Arguments) => boolean;
}

/** A task that a command is for. */
interface ITarget {
  folder: string;
  tid: string;
  /** What the page shows of it; nothing if it is not known yet. */
  task?: ITaskRow;
  /** Those that are selected with it; empty if it is alone. */
  several: readonly ITaskRow[];
}

/** Adds the commands, and finds out what each is for. */
export class Commands {
  constructor(private readonly _options: ICommandsOptions) {
    this._addGeneral();
    if (_options.registry) {
      this._addSettings();
    }
    this._addWork();
    this._addTasksOfQueue();
    this._addQueueItself();
    this._addPictures();
    this._addTasks();
    if (_options.cells) {
      this._addCells();
    }
    const { panel } = _options;
    panel.queues.changed.connect(this._onQueues, this);
    panel.stateChanged.connect(this._onQueues, this);
  }

  /** Show the tasks of a cell in the panel. */
  showCellTasks(summary: ICellView): void {
    const { rows, first, title, queue, folder } = summary;
    const { panel, app } = this._options;
    app.shell.activateById(PANEL_ID);
    panel.showTasks(folder, {
      ...NO_FILTER,
      cell: { rows, first, title: title || queue }
    });
  }

  /** Tell the palette, which keeps what it was told, what does something now. */
  private _onQueues(): void {
    const { commands } = this._options.app;
    for (const [id, before] of this._enabled) {
      const now = commands.isEnabled(id, { isPalette: true });
      if (now !== before) {
        this._enabled.set(id, now);
        commands.notifyCommandChanged(id);
      }
    }
  }

  private _addGeneral(): void {
    const { app, panel, trans } = this._options;
    const { shell } = app;
    this._add(COMMANDS.open, {
      label: trans.__('Show desipipe Panel'),
      listed: trans.__('Show Panel'),
      execute: () => {
        shell.activateById(PANEL_ID);
        // Again after the palette, which gives the focus back to the page in front.
        setTimeout(() => panel.activate());
      }
    });
    this._add(COMMANDS.refresh, {
      label: trans.__('Refresh Queues'),
      listed: trans.__('Refresh Queues'),
      execute: () => {
        panel.queues.refresh();
        panel.open?.refresh();
      }
    });
  }

  private _addSettings(): void {
    const { app, trans } = this._options;
    const { commands } = app;
    this._add(COMMANDS.settings, {
      label: trans.__('Panel Settings'),
      listed: trans.__('Panel Settings'),
      execute: () =>
        commands.hasCommand('settingeditor:open')
          ? commands.execute('settingeditor:open', { query: 'desipipe' })
          : Notification.info(
              trans.__(
                'Change the settings in JupyterLab. They apply here too.'
              ),
              { autoClose: 5000 }
            )
    });
  }

  private _addWork(): void {
    const { actions, trans } = this._options;
    this._onOwnQueue(
      COMMANDS.start,
      trans.__('Start Workers'),
      line => actions.start(line),
      line => !line.manager || line.manager.alive === false
    );
    this._onOwnQueue(
      COMMANDS.resize,
      trans.__('Limit of Parallel Tasks…'),
      line => actions.resize(line)
    );
    this._onOwnQueue(
      COMMANDS.pause,
      trans.__('Pause Queue'),
      line => actions.pause(line),
      line => line.state !== 'PAUSED'
    );
    this._onOwnQueue(
      COMMANDS.resume,
      trans.__('Resume Queue'),
      line => actions.resume(line),
      line => line.state === 'PAUSED'
    );
    this._onOwnQueue(
      COMMANDS.kill,
      trans.__('Stop All Workers…'),
      line => actions.kill(line),
      line => !!line.manager || line.workers !== 0
    );
  }

  private _addTasksOfQueue(): void {
    const { actions, trans } = this._options;
    this._onOwnQueue(
      COMMANDS.retry,
      trans.__('Retry Failed Tasks'),
      line => actions.retry(line),
      line => bad(line) > 0
    );
    this._onOwnQueue(
      COMMANDS.cancel,
      trans.__('Cancel Remaining Tasks…'),
      line => actions.cancel(line),
      line => line.left > 0
    );
    this._onOwnQueue(
      COMMANDS.clearSuperseded,
      trans.__('Clear Superseded Tasks…'),
      line => actions.clearSuperseded(line),
      line => !!line.superseded
    );
  }

  private _addQueueItself(): void {
    const { actions, insertUse, pages, panel, trans } = this._options;
    if (insertUse) {
      this._onQueue(
        COMMANDS.use,
        trans.__('Insert %desipipe use'),
        async line => {
          if (!insertUse(line.queue)) {
            Notification.info(trans.__('No notebook is open.'), {
              autoClose: 3000
            });
          }
        }
      );
    }
    this._onQueue(COMMANDS.copyPath, trans.__('Copy Queue Path'), line =>
      navigator.clipboard.writeText(line.folder)
    );
    this._onOwnQueue(COMMANDS.delete, trans.__('Delete Queue…'), async line => {
      if (await actions.delete(line)) {
        panel.queues.dismiss(line.folder);
        pages.close(line.folder);
      }
    });
  }

  private _addPictures(): void {
    const { pages, trans } = this._options;
    this._onQueue(COMMANDS.graph, trans.__('Show Graph'), async line =>
      pages.openPicture('graph', line.folder)
    );
    this._onQueue(COMMANDS.timeline, trans.__('Show Timeline'), async line =>
      pages.openPicture('timeline', line.folder)
    );
    this._add(COMMANDS.picture, {
      label: trans.__('Show Graph or Timeline'),
      execute: args =>
        pages.openPicture(
          args.kind === 'timeline' ? 'timeline' : 'graph',
          `${args.folder}`
        )
    });
  }

  private _addTasks(): void {
    const { actions, pages, trans } = this._options;
    const open = (id: string, label: string, newTab: boolean) =>
      this._onTask(id, label, ({ folder, tid }, args) =>
        pages.openTask(
          folder,
          tid,
          `${args.name ?? ''}`,
          newTab || args.newTab === true
        )
      );
    open(COMMANDS.openTask, trans.__('Open Task'), false);
    open(COMMANDS.openTaskTab, trans.__('Open Task in New Tab'), true);
    this._onTask(
      COMMANDS.retryTask,
      target =>
        target?.several.length
          ? trans.__('Retry Selected Tasks')
          : isRunAgain(target?.task)
            ? trans.__('Run Again…')
            : trans.__('Retry'),
      async target =>
        target.several.length
          ? actions.retryTasks(target.folder, target.several)
          : actions.retryTask(target.folder, await this._detail(target)),
      canRunAgain
    );
    this._onTask(
      COMMANDS.cancelTask,
      target =>
        target?.several.length
          ? trans.__('Cancel Selected Tasks…')
          : trans.__('Cancel Task…'),
      async target =>
        target.several.length
          ? actions.cancelTasks(target.folder, target.several)
          : actions.cancelTask(target.folder, await this._detail(target)),
      canCancel
    );
  }

  private _addCells(): void {
    const { app, cells, notebooks, pages, trans } = this._options;
    this._onTask(COMMANDS.showCell, trans.__('Go to Cell'), async target =>
      pages.showCell(target.folder, await this._detail(target))
    );
    this._add(COMMANDS.showCellTasks, {
      label: trans.__('Show Tasks of Cell'),
      listed: trans.__('Show Tasks of Cell'),
      execute: () => {
        const node =
          app.contextMenuHitTest(node =>
            node.classList.contains('jp-desipipe-Cell')
          ) ?? notebooks?.activeCell?.node;
        const summary = node && cells?.summaryAt(node);
        if (summary) {
          this.showCellTasks(summary);
        } else {
          Notification.info(trans.__('This cell shows no tasks.'), {
            autoClose: 3000
          });
        }
      }
    });
  }

  private _add(id: string, command: ICommand): void {
    const { app, palette, trans } = this._options;
    const { label, listed, execute, isEnabled } = command;
    app.commands.addCommand(id, {
      label: args =>
        args.isPalette && listed
          ? trans.__('desipipe: %1', listed)
          : typeof label === 'string'
            ? label
            : label(args),
      execute,
      describedBy: {
        args: {
          type: 'object',
          properties: { folder: { type: 'string' }, tid: { type: 'string' } }
        }
      },
      ...(isEnabled && { isEnabled })
    });
    if (listed) {
      palette?.addItem({
        command: id,
        category: trans.__('desipipe'),
        args: { isPalette: true }
      });
    }
  }

  private _onQueue(
    id: string,
    label: string,
    act: (line: IListedQueue) => Promise<unknown>,
    enabled: (line: IListedQueue) => boolean = () => true
  ): void {
    const { panel } = this._options;
    this._enabled.set(id, true);
    this._add(id, {
      label,
      listed: label,
      execute: async args => {
        const line = await this._chooseLine(args.folder, enabled);
        if (line && !line.error) {
          await act(line);
        }
      },
      isEnabled: args => {
        const line = this._namedLine(args.folder);
        // Without one, as in the palette, the user chooses among those for which it does something.
        return line
          ? !!line.error || enabled(line)
          : typeof args.folder === 'string' ||
              !panel.queues.lines?.length ||
              panel.queues.lines.some(line => !line.error && enabled(line));
      }
    });
  }

  /** Add a command that changes a queue, which may be another user's. */
  private _onOwnQueue(
    id: string,
    label: string,
    act: (line: IListedQueue) => Promise<unknown>,
    enabled: (line: IListedQueue) => boolean = () => true
  ): void {
    this._onQueue(id, label, act, line => !line.untrusted && enabled(line));
  }

  private _onTask(
    id: string,
    label: string | ((target: ITarget | null) => string),
    act: (target: ITarget, args: Arguments) => unknown,
    enabled: (task: ITaskRow) => boolean = () => true
  ): void {
    this._add(id, {
      label:
        typeof label === 'string' ? label : args => label(this._target(args)),
      execute: async args => {
        const target = this._target(args);
        if (target) {
          await act(target, args);
        }
      },
      isEnabled: args => {
        const { task, several = [] } = this._target(args) ?? {};
        return several.length ? several.some(enabled) : !task || enabled(task);
      }
    });
  }

  /** Return the task of the arguments, or the one that the context menu was opened on. */
  private _target(args: Arguments): ITarget | null {
    const { app, panel } = this._options;
    const hit = (key: 'tid' | 'folder') =>
      app.contextMenuHitTest(node => key in node.dataset);
    const data = (key: 'tid' | 'folder') => hit(key)?.dataset[key];
    const named =
      typeof args.tid === 'string' && typeof args.folder === 'string';
    const tid = named ? `${args.tid}` : data('tid');
    const folder = named ? `${args.folder}` : data('folder');
    if (!tid || !folder) {
      return null;
    }
    const isLine = !named && hit('tid')?.getAttribute('role') === 'option';
    const several = isLine ? panel.selection(folder, tid) : [];
    return { folder, tid, task: panel.task(folder, tid), several };
  }

  private _detail({ folder, tid }: ITarget): Promise<ITaskView> {
    return this._options.follower.api.look<ITaskView>('task', {
      queue: folder,
      tid
    });
  }

  /** Return the queue of a folder; without one, the queue that is open. */
  private _namedLine(folder: unknown): IListedQueue | null {
    const { panel } = this._options;
    return panel.queues.line(
      typeof folder === 'string' ? folder : panel.state.open
    );
  }

  /** Return the queue of a folder; without one, the queue that is open, or the one that the user chooses. */
  private async _chooseLine(
    folder: unknown,
    enabled: (line: IListedQueue) => boolean
  ): Promise<IListedQueue | null> {
    const { panel, trans } = this._options;
    const { queues } = panel;
    const line = this._namedLine(folder);
    if (line || typeof folder === 'string') {
      return line;
    }
    const lines =
      queues.lines?.filter(line => !line.error && enabled(line)) ?? [];
    if (!lines.length) {
      Notification.info(
        trans.__('No queue is known yet. Open the desipipe panel.'),
        { autoClose: 5000 }
      );
      return null;
    }
    const answer = await InputDialog.getItem({
      title: trans.__('Which queue?'),
      items: lines.map(line => line.queue)
    });
    return (
      (answer.button.accept &&
        lines.find(line => line.queue === answer.value)) ||
      null
    );
  }

  /** Whether commands of the palette do something, as it was told. */
  private readonly _enabled = new Map<string, boolean>();
}
