/**
 * Builds the panel of its parts, and connects them.
 */
import type { ILayoutRestorer } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Follower } from '../model';
import { Actions } from './actions';
import type { Cells } from './cells';
import { Commands } from './commands';
import type { IHost, InsertUse, IStates, IThemes } from './host';
import { keepFocus } from './menufocus';
import type { NotebookQueues } from './notebookqueues';
import { dismissOthers, notify } from './notify';
import { Pages } from './pages';
import { DesipipePanel, IPanelCallbacks } from './panel';
import { QueueMenu } from './queuemenu';
import { QueuesModel } from './queues';
import { PanelSettings, restoreState } from './settings';
import { COMMANDS, label, NO_FILTER, PANEL_ID } from './tokens';

/** What the host provides; what may be missing is `null`. */
export interface IServices {
  app: IHost;
  follower: Follower;
  trans: TranslationBundle;
  registry: ISettingRegistry | null;
  restorer: ILayoutRestorer | null;
  states: IStates | null;
  palette: ICommandPalette | null;
  notebooks: INotebookTracker | null;
  cells: Cells | null;
  /** Queues of the notebook in front. */
  notebookQueues: NotebookQueues | null;
  insertUse: InsertUse | null;
  languages: IEditorLanguageRegistry | null;
  themes: IThemes | null;
  /** Area of the shell in which pages are put. */
  area: 'main' | 'down';
}

/** Build the panel. */
export function buildPanel(services: IServices): DesipipePanel {
  const { app, follower, trans, restorer } = services;
  const queues = new QueuesModel(follower);
  const actions = new Actions(follower.api, trans);
  const panel = new DesipipePanel(
    queues,
    callbacks(services, actions),
    trans,
    services.notebookQueues
  );
  restorer?.add(panel, PANEL_ID);
  app.shell.add(panel, 'left', { rank: 250, type: 'desipipe' });
  const showQueue = (folder: string) => {
    app.shell.activateById(PANEL_ID);
    panel.showTasks(folder, NO_FILTER);
  };
  const pages = new Pages({
    ...services,
    queues,
    actions,
    showQueue
  });
  if (restorer) {
    pages.restore(restorer);
  }
  const commands = new Commands({ ...services, panel, pages, actions });
  keepFocus(
    app.contextMenu.menu,
    node => node.closest('.jp-desipipe-Panel, .jp-desipipe-Page') !== null
  );
  follower.show = summary => commands.showCellTasks(summary);
  connect(services, panel, showQueue);
  return panel;
}

function callbacks(
  { app, registry }: IServices,
  actions: Actions
): IPanelCallbacks {
  const menu = new QueueMenu(app.commands);
  return {
    command: (command, line) =>
      void app.commands.execute(command, line && { folder: line.folder }),
    settings: registry && (() => void app.commands.execute(COMMANDS.settings)),
    menu: (line, button) => menu.open(line, button),
    task: (folder, task) =>
      void app.commands.execute(COMMANDS.openTask, {
        folder,
        tid: task.tid,
        name: task.name ? label(task) : ''
      }),
    tasks: (folder, action, tasks) =>
      void (action === 'retry'
        ? actions.retryTasks(folder, tasks)
        : actions.cancelTasks(folder, tasks)),
    endWorker: (folder, worker) => void actions.endWorker(folder, worker)
  };
}

/** Notify, and read what is set and remembered. */
function connect(
  services: IServices,
  panel: DesipipePanel,
  showQueue: (folder: string) => void
): void {
  const { app, trans } = services;
  const { queues } = panel;
  const settings = new PanelSettings(services.registry, queues);
  queues.moved.connect((_, change) =>
    notify(change, settings.current, line => showQueue(line.folder), trans)
  );
  queues.changed.connect(() => dismissOthers(queues.lines ?? []));
  // JupyterLab waits for plugins before it reads settings or states.
  void app.restored.then(async () => {
    await restoreState(panel, services.states);
    await settings.load();
  });
}
