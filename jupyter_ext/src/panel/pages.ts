/**
 * Pages of tasks, graphs and timelines in the main area; in Notebook 7, whose main area is the notebook's, below it.
 */
import type { ILayoutRestorer } from '@jupyterlab/application';
import {
  MainAreaWidget,
  Notification,
  WidgetTracker
} from '@jupyterlab/apputils';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { TranslationBundle } from '@jupyterlab/translation';
import { TabPanel } from '@lumino/widgets';

import type { Follower } from '../model';
import type { Actions } from './actions';
import type { Cells } from './cells';
import type { IHost, IThemes } from './host';
import type { Kind } from './picture';
import type { PicturePage } from './picturepage';
import type { QueuesModel } from './queues';
import type { ITaskCallbacks, TaskPage } from './taskpage';
import { COMMANDS, ITaskView, label } from './tokens';

/** Id of the tab that shows one task after the other. */
const TASK_TAB = 'desipipe-task';

/** What pages are made of. */
export interface IPagesOptions {
  app: IHost;
  follower: Follower;
  queues: QueuesModel;
  actions: Actions;
  cells: Cells | null;
  languages: IEditorLanguageRegistry | null;
  themes: IThemes | null;
  /** Area of the shell in which pages are put. */
  area: 'main' | 'down';
  /** Show the tasks of a queue in the panel. */
  showQueue: (folder: string) => void;
  trans: TranslationBundle;
}

/** The pages that are open. */
export class Pages {
  constructor(private readonly _options: IPagesOptions) {}

  /** Let JupyterLab open the same pages when it is loaded again. */
  restore(restorer: ILayoutRestorer): void {
    void restorer.restore(this._tasks, {
      command: COMMANDS.openTask,
      args: page => ({
        folder: page.content.model.folder,
        tid: page.content.model.tid,
        name: page.content.title.label,
        newTab: page.id !== TASK_TAB
      }),
      name: page => page.id
    });
    void restorer.restore(this._pictures, {
      command: COMMANDS.picture,
      args: ({ content: { model } }) => ({
        folder: model.folder,
        kind: model.kind
      }),
      name: ({ content: { model } }) => `${model.kind}-${model.folder}`
    });
  }

  /**
   * Show a task, in the tab that shows tasks.
   *
   * @param newTab - whether to open a tab of its own
   */
  async openTask(
    folder: string,
    tid: string,
    name: string,
    newTab = false
  ): Promise<TaskPage> {
    const { TaskModel, TaskPage } = await import('./taskpage');
    const { follower, trans } = this._options;
    const model = () => new TaskModel(follower, folder, tid);
    const queue = this._queueName(folder);
    const id = newTab ? `${TASK_TAB}-${folder}-${tid}` : TASK_TAB;
    const title = name || tid.slice(0, 8);
    const page = this._put(this._tasks, id, () => {
      const content = new TaskPage(
        model(),
        queue,
        title,
        this._callbacks(),
        trans
      );
      return new MainAreaWidget({ content });
    });
    const { content } = page;
    if (content.model.folder !== folder || content.model.tid !== tid) {
      content.showTask(model(), queue, title);
      void this._tasks.save(page);
    }
    return content;
  }

  /** Show the graph or the timeline of a queue. */
  async openPicture(kind: Kind, folder: string): Promise<void> {
    const { PictureModel, PicturePage } = await import('./picturepage');
    const { follower, themes, trans } = this._options;
    this._put(this._pictures, `desipipe-${kind}-${folder}`, () => {
      const content = new PicturePage(
        new PictureModel(follower, folder, kind),
        this._queueName(folder),
        (folder, task) => void this.openTask(folder, task.tid, label(task)),
        themes,
        trans
      );
      return new MainAreaWidget({ content });
    });
  }

  /** Show the cell that made a task. */
  async showCell(folder: string, task: ITaskView): Promise<void> {
    const { app, cells, trans } = this._options;
    const isShown = await cells
      ?.show(folder, task, notebook => app.shell.activateById(notebook.id))
      .catch((error: unknown) => {
        Notification.error(`${error}`);
        return true;
      });
    if (!isShown) {
      Notification.info(
        trans.__(
          'No cell of %2 was found in open notebooks or in the folder %1. It may have been made by a script, or the cell was edited.',
          task.cwd,
          label(task)
        ),
        { autoClose: 8000 }
      );
    }
  }

  /** Close the pages of a queue. */
  close(folder: string): void {
    const of = ({ content }: MainAreaWidget<TaskPage | PicturePage>) =>
      content.model.folder === folder;
    [...this._tasks.filter(of), ...this._pictures.filter(of)].forEach(page =>
      page.dispose()
    );
  }

  private _callbacks(): ITaskCallbacks {
    const { actions, cells, languages, showQueue } = this._options;
    return {
      task: (folder, task) =>
        void this.openTask(folder, task.tid, task.name ? label(task) : ''),
      retry: (folder, task) => actions.retryTask(folder, task),
      cancel: (folder, task) => actions.cancelTask(folder, task),
      cell: cells && ((folder, task) => void this.showCell(folder, task)),
      queue: showQueue,
      trust: (folder, tid, user) => actions.trust(folder, tid, user),
      highlight: async (code, node) => {
        const language = languages?.findByName('python') ?? null;
        await languages?.highlight(code, language, node);
      }
    };
  }

  private _queueName(folder: string): string {
    return (
      this._options.queues.line(folder)?.queue ??
      folder.replace(/^.*\//, '').replace(/\.queue$/, '')
    );
  }

  private _put<T extends MainAreaWidget>(
    tracker: WidgetTracker<T>,
    id: string,
    make: () => T
  ): T {
    const { shell } = this._options.app;
    let page = tracker.find(widget => widget.id === id);
    if (!page) {
      page = make();
      page.id = id;
      page.title.closable = true;
      page.toolbar.parent = null; // it would be empty
      void tracker.add(page);
    }
    if (!page.isAttached) {
      shell.add(page, this._options.area);
    }
    shell.activateById(id);
    const tabs = page.parent?.parent;
    if (tabs instanceof TabPanel) {
      tabs.currentWidget = page; // Notebook 7 leaves another page in front
    }
    return page;
  }

  private _pictures = new WidgetTracker<MainAreaWidget<PicturePage>>({
    namespace: 'desipipe-picture'
  });
  private _tasks = new WidgetTracker<MainAreaWidget<TaskPage>>({
    namespace: 'desipipe-task'
  });
}
