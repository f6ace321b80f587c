/**
 * The panel's plugin: what knows of each other, and of JupyterLab.
 */
import {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  InputDialog,
  IThemeManager,
  MainAreaWidget,
  Notification,
  WidgetTracker
} from '@jupyterlab/apputils';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Menu, Widget } from '@lumino/widgets';

import { Follower, IFollower } from '../model';
import type { ICellSummary } from '../tokens';
/* eslint-disable jupyter/prefer-lazy-imports -- the panel may be what the page shows first, and the item in the status bar is always; pages of tasks and pictures come later */
import { Actions } from './actions';
import { Cells } from './cells';
import { bad } from './components/bits';
import { notify } from './notify';
import { DesipipePanel } from './panel';
import type { Kind } from './picture';
import type { PicturePage } from './picturepage';
import { QueuesModel } from './queues';
import { StatusItem } from './statusitem';
import type { TaskPage } from './taskpage';
import {
  COMMANDS,
  IPanelState,
  IQueueLine,
  ISettings,
  ITask,
  label,
  NO_FILTER,
  PANEL_ID,
  PLUGIN_ID
} from './tokens';
/* eslint-enable jupyter/prefer-lazy-imports */

/** The panel in the sidebar, the pages of tasks, graph and timeline, and their commands. */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: 'Shows the queues of desipipe, their workers and their tasks.',
  autoStart: true,
  requires: [IFollower],
  optional: [
    ITranslator,
    ISettingRegistry,
    ILayoutRestorer,
    IStateDB,
    ICommandPalette,
    IStatusBar,
    INotebookTracker,
    IDocumentManager,
    IEditorLanguageRegistry,
    IThemeManager,
    ILabShell
  ],
  activate: (
    app: JupyterFrontEnd,
    follower: Follower,
    translator: ITranslator | null,
    registry: ISettingRegistry | null,
    restorer: ILayoutRestorer | null,
    memory: IStateDB | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null,
    notebooks: INotebookTracker | null,
    documents: IDocumentManager | null,
    languages: IEditorLanguageRegistry | null,
    themes: IThemeManager | null,
    labShell: ILabShell | null
  ) => {
    const trans = (translator ?? nullTranslator).load('desipipe');
    const { commands, shell } = app;
    const queues = new QueuesModel(follower);
    const actions = new Actions(follower.api, trans);
    const cells =
      notebooks && new Cells(notebooks, documents, app.serviceManager.contents);
    const run = (command: string, args?: ReadonlyPartialJSONObject) =>
      void commands.execute(command, args);

    // The panel

    const panel = new DesipipePanel(
      queues,
      {
        command: (command, line) =>
          run(command, line && { folder: line.folder }),
        menu: (line, place) => {
          for (const item of menu.items.slice()) {
            menu.removeItem(item);
          }
          MENU.forEach(command =>
            menu.addItem(
              command
                ? { command, args: { folder: line.folder } }
                : { type: 'separator' }
            )
          );
          menu.open(place.left, place.bottom);
        },
        task: (folder, task) =>
          run(COMMANDS.openTask, {
            folder,
            tid: task.tid,
            name: task.name ? label(task) : ''
          }),
        endWorker: (folder, worker) => void actions.endWorker(folder, worker)
      },
      trans
    );
    const menu = new Menu({ commands });
    restorer?.add(panel, PANEL_ID);
    shell.add(panel, 'left', { rank: 250, type: 'desipipe' });
    const show = (folder: string, filter = NO_FILTER) => {
      shell.activateById(PANEL_ID);
      panel.showTasks(folder, filter);
    };

    // Pages: in Notebook 7, where the main area is the notebook's, below it

    const area = labShell ? 'main' : 'down';
    const tasks = new WidgetTracker<MainAreaWidget<TaskPage>>({
      namespace: 'desipipe-task'
    });
    const pictures = new WidgetTracker<MainAreaWidget<PicturePage>>({
      namespace: 'desipipe-picture'
    });
    const put = <T extends MainAreaWidget>(
      tracker: WidgetTracker<T>,
      id: string,
      make: () => T
    ) => {
      let page = tracker.find(widget => widget.id === id);
      if (!page) {
        page = make();
        page.id = id;
        page.title.closable = true;
        page.toolbar.hide();
        void tracker.add(page);
      }
      if (!page.isAttached) {
        shell.add(page, area);
      }
      shell.activateById(id);
      return page;
    };
    const showCell = async (folder: string, task: ITask) => {
      const found = await cells
        ?.show(folder, task, notebook => shell.activateById(notebook.id))
        .catch((error: unknown) => {
          Notification.error(`${error}`);
          return true;
        });
      if (!found) {
        Notification.info(
          trans.__(
            'No notebook that is open, or in the folder %1, has the cell that made %2: it may have been made by a script, or the cell was changed since.',
            task.cwd,
            label(task)
          ),
          { autoClose: 8000 }
        );
      }
    };
    const openTask = async (folder: string, tid: string, name: string) => {
      const { TaskModel, TaskPage } = await import('./taskpage');
      return put(tasks, `desipipe-task-${folder}-${tid}`, () => {
        const page = new TaskPage(
          new TaskModel(follower, folder, tid),
          queueName(folder),
          name || tid.slice(0, 8),
          {
            task: (folder, task) =>
              run(COMMANDS.openTask, {
                folder,
                tid: task.tid,
                name: task.name ? label(task) : ''
              }),
            retry: (folder, tid) => actions.retryTask(folder, tid),
            cancel: (folder, task) => actions.cancelTask(folder, task),
            cell: (folder, task) => void showCell(folder, task),
            queue: folder => show(folder),
            trust: (folder, tid, user) => actions.trust(folder, tid, user),
            highlight: async (code, node) => {
              const language = languages?.findByName('python') ?? null;
              await languages?.highlight(code, language, node);
            }
          },
          trans
        );
        return new MainAreaWidget({ content: page });
      });
    };
    const openPicture = async (kind: Kind, folder: string) => {
      const { PictureModel, PicturePage } = await import('./picturepage');
      return put(pictures, `desipipe-${kind}-${folder}`, () => {
        const page = new PicturePage(
          new PictureModel(follower, folder, kind),
          queueName(folder),
          (folder, task) =>
            run(COMMANDS.openTask, {
              folder,
              tid: task.tid,
              name: label(task)
            }),
          themes,
          trans
        );
        return new MainAreaWidget({ content: page });
      });
    };
    const queueName = (folder: string) =>
      queues.line(folder)?.queue ??
      folder.replace(/^.*\//, '').replace(/\.queue$/, '');

    if (restorer) {
      void restorer.restore(tasks, {
        command: COMMANDS.openTask,
        args: ({ content }) => ({
          folder: content.model.folder,
          tid: content.model.tid,
          name: content.title.label
        }),
        name: ({ content }) => `${content.model.folder}-${content.model.tid}`
      });
      void restorer.restore(pictures, {
        command: 'desipipe:picture',
        args: ({ content: { model } }) => ({
          folder: model.folder,
          kind: model.kind
        }),
        name: ({ content: { model } }) => `${model.kind}-${model.folder}`
      });
    }

    // Commands

    const lineOf = async (folder: unknown): Promise<IQueueLine | null> => {
      const known = queues.line(
        typeof folder === 'string' ? folder : panel.state.open
      );
      if (known || typeof folder === 'string') {
        return known;
      }
      const lines = queues.lines?.filter(line => !line.error) ?? [];
      if (!lines.length) {
        Notification.info(
          trans.__('desipipe knows no queue here: open its panel.'),
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
    };
    const category = trans.__('desipipe');
    const add = (
      id: string,
      words: string,
      execute: (args: ReadonlyPartialJSONObject) => unknown,
      options: {
        listed?: boolean;
        isEnabled?: (args: ReadonlyPartialJSONObject) => boolean;
        caption?: string;
      } = {}
    ) => {
      commands.addCommand(id, {
        label: words,
        execute,
        describedBy: {
          args: {
            type: 'object',
            properties: { folder: { type: 'string' }, tid: { type: 'string' } }
          }
        },
        ...(options.isEnabled && { isEnabled: options.isEnabled }),
        ...(options.caption && { caption: options.caption })
      });
      if (options.listed !== false) {
        palette?.addItem({ command: id, category });
      }
    };
    const onQueue = (
      id: string,
      words: string,
      act: (line: IQueueLine) => Promise<unknown>,
      enabled: (line: IQueueLine) => boolean = () => true
    ) =>
      add(
        id,
        words,
        async args => {
          const line = await lineOf(args.folder);
          if (line && !line.error) {
            await act(line);
          }
        },
        {
          isEnabled: args => {
            const line =
              typeof args.folder === 'string' && queues.line(args.folder);
            return !line || enabled(line);
          }
        }
      );
    // What changes a queue, which may be another user's.
    const onOwnQueue = (
      id: string,
      words: string,
      act: (line: IQueueLine) => Promise<unknown>,
      enabled: (line: IQueueLine) => boolean = () => true
    ) => onQueue(id, words, act, line => !line.untrusted && enabled(line));
    add(COMMANDS.open, trans.__('Show the Panel of desipipe'), () =>
      shell.activateById(PANEL_ID)
    );
    add(COMMANDS.refresh, trans.__('Look for Queues Now'), () => {
      queues.refresh();
      panel.open?.refresh();
    });
    onOwnQueue(
      COMMANDS.start,
      trans.__('Start a Manager'),
      line => actions.start(line),
      line => !line.manager || line.manager.alive === false
    );
    onOwnQueue(
      COMMANDS.pause,
      trans.__('Pause'),
      line => actions.pause(line),
      line => line.state !== 'PAUSED'
    );
    onOwnQueue(
      COMMANDS.resume,
      trans.__('Resume'),
      line => actions.resume(line),
      line => line.state === 'PAUSED'
    );
    onOwnQueue(
      COMMANDS.retry,
      trans.__('Retry What Failed'),
      line => actions.retry(line),
      line => bad(line) > 0
    );
    onOwnQueue(
      COMMANDS.cancel,
      trans.__('Cancel What Is Left…'),
      line => actions.cancel(line),
      line => line.left > 0
    );
    onOwnQueue(
      COMMANDS.resize,
      trans.__('Change the Number of Workers…'),
      line => actions.resize(line)
    );
    onOwnQueue(COMMANDS.kill, trans.__('End All Workers…'), line =>
      actions.kill(line)
    );
    onOwnQueue(COMMANDS.delete, trans.__('Delete the Queue…'), async line => {
      if (await actions.delete(line)) {
        queues.dismiss(line.folder);
        for (const page of [
          ...pagesOf(tasks, line.folder),
          ...pagesOf(pictures, line.folder)
        ]) {
          page.dispose();
        }
      }
    });
    onQueue(COMMANDS.graph, trans.__('Graph'), async line =>
      openPicture('graph', line.folder)
    );
    onQueue(COMMANDS.timeline, trans.__('Timeline'), async line =>
      openPicture('timeline', line.folder)
    );
    onQueue(COMMANDS.copyPath, trans.__('Copy the Path of Its Folder'), line =>
      navigator.clipboard.writeText(line.folder)
    );
    add(
      'desipipe:picture',
      trans.__('Picture of a Queue'),
      args =>
        openPicture(
          args.kind === 'timeline' ? 'timeline' : 'graph',
          `${args.folder}`
        ),
      { listed: false }
    );
    add(COMMANDS.settings, trans.__('Settings of the Panel'), () =>
      commands.hasCommand('settingeditor:open')
        ? commands.execute('settingeditor:open', { query: 'desipipe' })
        : Notification.info(
            trans.__('Settings are changed in JupyterLab, and count here too.'),
            { autoClose: 5000 }
          )
    );
    /** The task that a command is for: that of its arguments, or the one that the context menu was opened on. */
    const target = (
      args: ReadonlyPartialJSONObject
    ): { folder: string; tid: string } | null => {
      if (typeof args.tid === 'string' && typeof args.folder === 'string') {
        return { folder: args.folder, tid: args.tid };
      }
      const tid = app.contextMenuHitTest(node => 'tid' in node.dataset)?.dataset
        .tid;
      const folder = app.contextMenuHitTest(node => 'folder' in node.dataset)
        ?.dataset.folder;
      return tid && folder ? { folder, tid } : null;
    };
    const onTask = (
      id: string,
      words: string,
      act: (folder: string, tid: string, name: string) => unknown
    ) =>
      add(
        id,
        words,
        async args => {
          const found = target(args);
          if (found) {
            await act(found.folder, found.tid, `${args.name ?? ''}`);
          }
        },
        { listed: false }
      );
    const detail = (folder: string, tid: string) =>
      follower.api.look<ITask>('task', { queue: folder, tid });
    onTask(COMMANDS.openTask, trans.__('Open the Page of the Task'), openTask);
    onTask(COMMANDS.retryTask, trans.__('Retry the Task'), (folder, tid) =>
      actions.retryTask(folder, tid)
    );
    onTask(
      COMMANDS.cancelTask,
      trans.__('Cancel the Task…'),
      async (folder, tid) =>
        actions.cancelTask(folder, await detail(folder, tid))
    );
    onTask(
      COMMANDS.showCell,
      trans.__('Show the Cell that Made It'),
      async (folder, tid) => showCell(folder, await detail(folder, tid))
    );
    const showCellTasks = (summary: ICellSummary) =>
      show(summary.folder, {
        ...NO_FILTER,
        cell: {
          rows: summary.rows,
          first: summary.first,
          title: summary.title || summary.queue
        }
      });
    add(
      COMMANDS.showCellTasks,
      trans.__('Show the Tasks of the Cell in desipipe'),
      () => {
        const node =
          app.contextMenuHitTest(node =>
            node.classList.contains('jp-desipipe-Cell')
          ) ?? notebooks?.activeCell?.node;
        const summary = node && cells?.summaryAt(node);
        if (summary) {
          showCellTasks(summary);
        } else {
          Notification.info(trans.__('This cell shows no tasks.'), {
            autoClose: 3000
          });
        }
      }
    );
    follower.show = showCellTasks;

    // Status bar, notifications

    statusBar?.registerStatusItem('desipipe:status', {
      item: new StatusItem(queues, () => run(COMMANDS.open), trans),
      align: 'left',
      rank: 90
    });
    queues.moved.connect((_, change) =>
      notify(change, settings, line => show(line.folder), trans)
    );

    // What is remembered, what can be set: JupyterLab waits for plugins before it begins to read either

    let settings: ISettings = {
      folders: [],
      refresh: 10,
      background: true,
      notifyFailure: true,
      notifyCompletion: true
    };
    const configure = async () => {
      const loaded = await registry?.load(PLUGIN_ID);
      const read = () => {
        settings = {
          ...settings,
          ...(loaded?.composite as unknown as ISettings | undefined)
        };
        queues.configure(settings);
      };
      loaded?.changed.connect(read);
      read();
    };
    const remember = async () => {
      const known = await memory?.fetch(PLUGIN_ID);
      if (known && !panel.state.open) {
        panel.state = { ...panel.state, ...(known as unknown as IPanelState) };
      }
      panel.stateChanged.connect(
        (_, state) =>
          void memory?.save(PLUGIN_ID, {
            ...state
          } as unknown as ReadonlyPartialJSONObject)
      );
    };
    // What the page shows first need not wait for us.
    void app.restored.then(async () => {
      await remember().catch(error =>
        console.warn('desipipe: the state of its panel is lost.', error)
      );
      await configure().catch(error => {
        console.warn('desipipe: the defaults count, not its settings.', error);
        queues.configure(settings);
      });
    });
  }
};

/** The menu of a queue. */
const MENU = [
  COMMANDS.start,
  COMMANDS.resize,
  COMMANDS.retry,
  COMMANDS.cancel,
  '',
  COMMANDS.graph,
  COMMANDS.timeline,
  COMMANDS.copyPath,
  '',
  COMMANDS.kill,
  COMMANDS.delete
];

/** Pages of a queue. */
function pagesOf<T extends TaskPage | PicturePage>(
  tracker: WidgetTracker<MainAreaWidget<T>>,
  folder: string
): Widget[] {
  return tracker.filter(({ content }) => content.model.folder === folder);
}
