/**
 * Task cells that know whether they are current: badges, and the command that runs those that are not. Wiring only.
 */
import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ITableOfContentsTracker } from '@jupyterlab/toc';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Cell } from '@jupyterlab/cells';

import { Follower, IFollower } from '../model';
import { pipeIcon, runStaleIcon } from '../panel/icon';
import { RECORD_KEY } from '../tokens';
import { showBadges } from './badges';
// The sidebar is restored with the page.
// eslint-disable-next-line jupyter/prefer-lazy-imports
import { CellGraphPanel } from './graph';
import type { CellStates } from './model';
import { stamp } from './stamp';
import { markHeadings } from './toc';
import { ICellStateView } from './tokens';

/** The command; the toolbar's item is in schema/cells.json. */
export const RUN_STALE = 'desipipe:run-stale';
/** The command that shows the graph of a notebook's task cells. */
export const SHOW_GRAPH = 'desipipe:show-cell-graph';

export const cellsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'desipipe-lab:cells',
  description:
    'Says of task cells whether they are current, and runs stale ones.',
  autoStart: true,
  requires: [IFollower],
  optional: [
    INotebookTracker,
    ICommandPalette,
    ITableOfContentsTracker,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    follower: Follower,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
    contents: ITableOfContentsTracker | null,
    translator: ITranslator | null
  ) => {
    if (!notebooks) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('desipipe');
    const known = new WeakMap<NotebookPanel, CellStates>();
    notebooks.widgetAdded.connect((_, panel) => {
      void panel.context.ready.then(async () => {
        const { CellStates } = await import('./model');
        const { OtherWindows } = await import('./otherwindows');
        const { showViews } = await import('./views');
        const { model } = panel.content;
        // What a record says of its tasks holds, whatever ran since.
        const isRecord = !!model?.getMetadata(RECORD_KEY);
        if (model && !isRecord && !panel.isDisposed) {
          const states = new CellStates(
            model,
            follower,
            undefined,
            () => panel.context.localPath,
            new OtherWindows(
              panel.sessionContext,
              id => [...model.cells].find(cell => cell.id === id),
              follower
            )
          );
          known.set(panel, states);
          panel.disposed.connect(() => states.dispose());
          showBadges(panel.content, states, trans);
          showViews(panel.content, states, trans);
          states.changed.connect(() => {
            if (contents) {
              markContents(panel, states, contents);
            }
          });
          follow();
          panel.context.saveState.connect((_, saving) => {
            if (saving === 'started') {
              for (const cell of model.cells) {
                stamp(cell, shownWhenSaved(states.get(cell)));
              }
            }
          });
        }
      });
    });
    const reveal = async (number: number) => {
      const panel = notebooks.currentWidget;
      if (panel) {
        panel.content.activeCellIndex = number - 1;
        const { arrive } = await import('../panel/cells');
        await arrive(panel.content, number - 1);
      }
    };
    const graph = new CellGraphPanel(number => void reveal(number), trans);
    graph.id = 'desipipe-cell-graph';
    graph.title.icon = pipeIcon;
    graph.title.caption = trans.__('Task Cells of the Notebook');
    graph.node.setAttribute('role', 'region');
    graph.node.setAttribute('aria-label', graph.title.caption);
    app.shell.add(graph, 'right', { rank: 850, type: 'desipipe' });
    const follow = () => {
      const panel = notebooks.currentWidget;
      graph.states = (panel && known.get(panel)) ?? null;
    };
    notebooks.currentChanged.connect(follow);
    app.commands.addCommand(SHOW_GRAPH, {
      label: trans.__('desipipe: Show Graph of Task Cells'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => app.shell.activateById(graph.id)
    });
    palette?.addItem({ command: SHOW_GRAPH, category: trans.__('desipipe') });
    app.commands.addCommand(RUN_STALE, {
      label: args =>
        args.toolbar ? '' : trans.__('desipipe: Run Stale Task Cells…'),
      caption: trans.__(
        'Run the task cells that are not current, and the cells that define what they read'
      ),
      icon: args => (args.toolbar ? runStaleIcon : undefined),
      isEnabled: () => notebooks.currentWidget !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const panel = notebooks.currentWidget;
        const states = panel && known.get(panel);
        if (states) {
          const { runStale } = await import('./run');
          await runStale(panel, states, trans);
        }
      }
    });
    notebooks.currentChanged.connect(() =>
      app.commands.notifyCommandChanged(RUN_STALE)
    );
    palette?.addItem({ command: RUN_STALE, category: trans.__('desipipe') });
  }
};

/** Mark headings in the table of contents of a notebook. */
function markContents(
  panel: NotebookPanel,
  states: CellStates,
  contents: ITableOfContentsTracker
): void {
  const model = contents.get(panel);
  if (!model) {
    return;
  }
  const { widgets } = panel.content;
  const found = widgets.map(cell => states.get(cell.model)?.state ?? null);
  markHeadings(model, found, heading =>
    widgets.indexOf((heading as unknown as { cellRef: Cell }).cellRef)
  );
}

/** The state that a saved display says: where the tasks are of the present text, it says what has become of them itself. */
function shownWhenSaved(state: ICellStateView | null): ICellStateView | null {
  return state && ['edited', 'stale'].includes(state.state) ? state : null;
}
