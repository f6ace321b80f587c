/**
 * Builds the panel of its parts, and connects them.
 */
import type {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd
} from '@jupyterlab/application';
import type { ICommandPalette, IThemeManager } from '@jupyterlab/apputils';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStateDB } from '@jupyterlab/statedb';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Follower } from '../model';
import { Actions } from './actions';
import { Cells } from './cells';
import { Commands } from './commands';
import { NotebookQueues } from './notebookqueues';
import { notify } from './notify';
import { Pages } from './pages';
import { DesipipePanel, IPanelCallbacks } from './panel';
import { QueueMenu } from './queuemenu';
import { QueuesModel } from './queues';
import { PanelSettings, restoreState } from './settings';
import { StatusItem } from './statusitem';
import { COMMANDS, label, NO_FILTER, PANEL_ID } from './tokens';

/** What JupyterLab provides; what may be missing is `null`. */
export interface IServices {
  app: JupyterFrontEnd;
  follower: Follower;
  trans: TranslationBundle;
  registry: ISettingRegistry | null;
  restorer: ILayoutRestorer | null;
  states: IStateDB | null;
  palette: ICommandPalette | null;
  statusBar: IStatusBar | null;
  notebooks: INotebookTracker | null;
  documents: IDocumentManager | null;
  languages: IEditorLanguageRegistry | null;
  themes: IThemeManager | null;
  labShell: ILabShell | null;
}

/** Build the panel. */
export function buildPanel(services: IServices): void {
  const { app, follower, trans, restorer, notebooks, labShell } = services;
  const queues = new QueuesModel(follower);
  const actions = new Actions(follower.api, trans);
  const cells =
    notebooks &&
    new Cells(notebooks, services.documents, app.serviceManager.contents);
  const panel = new DesipipePanel(
    queues,
    callbacks(services, actions),
    trans,
    notebooks && new NotebookQueues(notebooks)
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
    cells,
    area: labShell ? 'main' : 'down',
    showQueue
  });
  if (restorer) {
    pages.restore(restorer);
  }
  const commands = new Commands({ ...services, panel, pages, actions, cells });
  follower.show = summary => commands.showCellTasks(summary);
  connect(services, panel, showQueue);
}

function callbacks({ app }: IServices, actions: Actions): IPanelCallbacks {
  const menu = new QueueMenu(app.commands);
  return {
    command: (command, line) =>
      void app.commands.execute(command, line && { folder: line.folder }),
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

/** Fill the status bar, notify, and read what is set and remembered. */
function connect(
  services: IServices,
  panel: DesipipePanel,
  showQueue: (folder: string) => void
): void {
  const { app, statusBar, trans } = services;
  const { queues } = panel;
  statusBar?.registerStatusItem('desipipe:status', {
    item: new StatusItem(
      queues,
      () => void app.commands.execute(COMMANDS.open),
      trans
    ),
    align: 'left',
    rank: 90
  });
  const settings = new PanelSettings(services.registry, queues);
  queues.moved.connect((_, change) =>
    notify(change, settings.current, line => showQueue(line.folder), trans)
  );
  // JupyterLab waits for plugins before it reads settings or states.
  void app.restored.then(async () => {
    await restoreState(panel, services.states);
    await settings.load();
  });
}
