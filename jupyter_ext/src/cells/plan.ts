/**
 * What running the cells that are not current would take, as a person is asked.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import { duration, number } from '../format';
import { badgeWords } from './badges';
import { BADGE_SYMBOLS, IPlanView, IPlannedCellView } from './tokens';

/** Whether a cell has to run. */
export function isStale({ state }: IPlannedCellView): boolean {
  return state !== 'current' && state !== 'running';
}

/** A line for each cell that has to run. */
export function planLines(plan: IPlanView, trans: TranslationBundle): string[] {
  return plan.cells.filter(isStale).map(cell => {
    const name = cell.title
      ? trans.__('cell %1 %2', cell.cell, cell.title)
      : trans.__('cell %1', cell.cell);
    const words = badgeWords(cell.state, trans);
    const why = cell.reason ? `${words}: ${cell.reason}` : words;
    const line = `${BADGE_SYMBOLS[cell.state]} ${name}  ${why}`;
    // What failed adds no task.
    return cell.state === 'failed' ? line : `${line} (${cost(cell, trans)})`;
  });
}

function cost(cell: IPlannedCellView, trans: TranslationBundle): string {
  const tasks = tasksWords(cell.tasks, trans);
  return cell.each
    ? trans._n(
        '%2, %3 each in %1 earlier run',
        '%2, %3 each in %1 earlier runs',
        cell.each.runs,
        tasks,
        duration(cell.each.seconds, trans)
      )
    : trans.__('%1, no earlier run', tasks);
}

function tasksWords(tasks: number | null, trans: TranslationBundle): string {
  return tasks === null
    ? trans.__('tasks not known before it runs')
    : trans._n('at most %2 task', 'at most %2 tasks', tasks, number(tasks));
}

/** What all of them take together. */
export function totalLine(
  { total }: IPlanView,
  trans: TranslationBundle
): string {
  const pieces = [tasksWords(total.tasks, trans)];
  if (total.seconds !== null) {
    pieces.push(trans.__('%1 of task time', duration(total.seconds, trans)));
  }
  if (total.node_hours !== null) {
    pieces.push(trans.__('%1 node-hours', total.node_hours.toPrecision(3)));
  }
  if (total.charge !== null) {
    pieces.push(trans.__('charged as %1', total.charge.toPrecision(3)));
  }
  return pieces.join(', ');
}
