/**
 * The record of a notebook, from its toolbar: what `desipipe record` writes, beside the notebook.
 */
import {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Follower, IFollower } from './model';

import { pipeIcon } from './panel/icon';
import type { Api } from './request';

/** The command; the toolbar's item is in schema/record.json. */
export const RECORD = 'desipipe:record';

/** Where the record of a notebook is written: as by the command line. */
export function recordPath(path: string): string {
  const stem = PathExt.basename(path, PathExt.extname(path));
  return PathExt.join(PathExt.dirname(path), `${stem}.record.ipynb`);
}

/** Save a notebook, and write its record beside it; returns where. */
export async function writeRecord(
  context: Pick<
    NotebookPanel['context'],
    'path' | 'localPath' | 'model' | 'save'
  >,
  api: Pick<Api, 'record'>,
  contents: Pick<Contents.IManager, 'save'>
): Promise<string> {
  // The record is one of the file: what was not saved would not be in it.
  if (context.model.dirty && !context.model.readOnly) {
    await context.save();
  }
  const content = await api.record(context.localPath);
  const path = recordPath(context.path);
  // As text: its digest is that of its bytes, and a notebook would be laid out anew.
  await contents.save(path, { type: 'file', format: 'text', content });
  return path;
}

/** The command in the palette and in the notebook's toolbar. */
export const recordPlugin: JupyterFrontEndPlugin<void> = {
  id: 'desipipe-lab:record',
  description: 'Writes the record of a notebook, from its toolbar.',
  autoStart: true,
  requires: [IFollower],
  optional: [INotebookTracker, IDocumentManager, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    follower: Follower,
    notebooks: INotebookTracker | null,
    documents: IDocumentManager | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    if (!notebooks) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('desipipe');
    const { commands, serviceManager } = app;
    commands.addCommand(RECORD, {
      label: args =>
        args.toolbar ? '' : trans.__('desipipe: Write Record of Notebook'),
      caption: trans.__(
        'Write the record of this notebook and its tasks beside it, and open it'
      ),
      icon: args => (args.toolbar ? pipeIcon : undefined),
      isEnabled: () => notebooks.currentWidget !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const context = notebooks.currentWidget?.context;
        if (!context) {
          return;
        }
        try {
          const path = await writeRecord(
            context,
            follower.api,
            serviceManager.contents
          );
          const shown = documents?.findWidget(path, null);
          if (shown) {
            await shown.context.revert(); // an earlier record
          }
          documents?.openOrReveal(path);
        } catch (error) {
          void showErrorMessage(
            trans.__('No record was written'),
            error instanceof Error ? error.message : String(error)
          );
        }
      }
    });
    notebooks.currentChanged.connect(() =>
      commands.notifyCommandChanged(RECORD)
    );
    palette?.addItem({ command: RECORD, category: trans.__('desipipe') });
  }
};
