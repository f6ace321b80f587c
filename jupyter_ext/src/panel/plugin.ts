/**
 * The panel's plugin: what its parts are made of, and JupyterLab's services.
 */
import {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, IThemeManager } from '@jupyterlab/apputils';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Follower, IFollower } from '../model';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the panel may be what the page shows first, and the item in the status bar is always
import { buildPanel } from './build';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- they are looked up in notebooks that the page restores
import { Cells } from './cells';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the panel shows what they find
import { NotebookQueues } from './notebookqueues';
import { insertUse } from './snippet';
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { StatusItem } from './statusitem';
import { COMMANDS, PLUGIN_ID } from './tokens';

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
    states: IStateDB | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null,
    notebooks: INotebookTracker | null,
    documents: IDocumentManager | null,
    languages: IEditorLanguageRegistry | null,
    themes: IThemeManager | null,
    labShell: ILabShell | null
  ) => {
    const trans = (translator ?? nullTranslator).load('desipipe');
    const panel = buildPanel({
      app,
      follower,
      trans,
      registry,
      restorer,
      states,
      palette,
      notebooks,
      cells:
        notebooks &&
        new Cells(notebooks, documents, app.serviceManager.contents),
      notebookQueues: notebooks && new NotebookQueues(notebooks, follower),
      insertUse: queue => insertUse(notebooks, queue),
      languages,
      themes,
      area: labShell ? 'main' : 'down'
    });
    statusBar?.registerStatusItem('desipipe:status', {
      item: new StatusItem(
        panel.queues,
        () => void app.commands.execute(COMMANDS.open),
        trans
      ),
      align: 'left',
      rank: 90
    });
  }
};
