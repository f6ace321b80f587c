/**
 * Running the task cells that are not current, after a preview of what that takes.
 */
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { CellStates } from './model';
import { planLines, totalLine } from './plan';
import { IPlanView } from './tokens';

/** Show what it takes, ask, and run the cells. */
export async function runStale(
  panel: NotebookPanel,
  states: CellStates,
  trans: TranslationBundle
): Promise<void> {
  let plan: IPlanView | null;
  try {
    plan = await states.plan();
  } catch (error) {
    Notification.error(error instanceof Error ? error.message : `${error}`);
    return;
  }
  if (!plan?.to_run.length) {
    Notification.info(trans.__('All task cells are current.'), {
      autoClose: 4000
    });
    return;
  }
  const answer = await showDialog({
    title: trans.__('Run stale task cells?'),
    body: preview(plan, trans),
    buttons: [
      Dialog.cancelButton(),
      Dialog.okButton({ label: trans.__('Run') })
    ]
  });
  if (answer.button.accept && !panel.isDisposed) {
    const cells = panel.content.widgets;
    await NotebookActions.runCells(
      panel.content,
      plan.to_run.map(number => cells[number - 1]),
      panel.sessionContext
    );
  }
}

function preview(plan: IPlanView, trans: TranslationBundle): Widget {
  const node = document.createElement('div');
  node.className = 'jp-desipipe-Plan';
  const list = node.appendChild(document.createElement('ul'));
  for (const line of planLines(plan, trans)) {
    list.appendChild(document.createElement('li')).textContent = line;
  }
  const total = node.appendChild(document.createElement('p'));
  total.textContent = totalLine(plan, trans);
  const cells = node.appendChild(document.createElement('p'));
  cells.textContent = trans.__(
    'These cells run, in order: %1.',
    plan.to_run.join(', ')
  );
  return new Widget({ node });
}
