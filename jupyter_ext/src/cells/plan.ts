/**
 * What running the cells that are not current would take, as a person is asked.
 */
import type { TranslationBundle } from '@jupyterlab/translation';

import { duration, number, significant } from '../format';
import { badgeWords } from './badges';
import {
  BadgeState,
  BADGE_SYMBOLS,
  IPlanView,
  IPlannedCellView
} from './tokens';

/** States in which nothing has to run again, as `desipipe.cells.states.SETTLED`. */
const SETTLED: readonly BadgeState[] = [
  'current',
  'running',
  'paused',
  'no worker'
];

/** Whether a cell has to run. */
export function isStale({ state }: IPlannedCellView): boolean {
  return !SETTLED.includes(state);
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
    const note =
      cell.state === 'failed'
        ? trans.__('adds no task: correct it, or retry its tasks')
        : cost(cell, trans);
    return `${line} (${note})`;
  });
}

function cost(cell: IPlannedCellView, trans: TranslationBundle): string {
  const tasks =
    cell.tasks === null
      ? trans.__('tasks not known before it runs')
      : tasksWords(cell.tasks, trans);
  if (!cell.each) {
    return trans.__('%1, no earlier run', tasks);
  }
  const { runs, seconds } = cell.each;
  const each = trans._n(
    '%3 each in %2 earlier run',
    '%3 each in %2 earlier runs',
    runs,
    number(runs),
    duration(seconds, trans)
  );
  return [tasks, each, ...costWords(cell, trans)].join(', ');
}

function tasksWords(tasks: number, trans: TranslationBundle): string {
  return trans._n('at most %2 task', 'at most %2 tasks', tasks, number(tasks));
}

/** `1 node-hour`, `charged as 2`; nothing where that is unknown. */
export function costWords(
  { node_hours, charge }: { node_hours: number | null; charge: number | null },
  trans: TranslationBundle
): string[] {
  if (node_hours === null) {
    return [];
  }
  const hours = significant(node_hours);
  const words = trans._n(
    '%2 node-hour',
    '%2 node-hours',
    hours === '1' ? 1 : 2,
    hours
  );
  return charge === null
    ? [words]
    : [words, trans.__('charged as %1', significant(charge))];
}

/** What all of them take together, as far as it is known. */
export function totalLine(plan: IPlanView, trans: TranslationBundle): string {
  const { total } = plan;
  const adding = plan.cells.filter(cell => isStale(cell) && cell.tasks !== 0);
  const counted = adding.filter(({ tasks }) => tasks !== null);
  const timed = adding.filter(({ seconds }) => seconds !== null);
  const billed = timed.filter(({ node_hours }) => node_hours !== null);
  const share = (part: readonly unknown[], whole: readonly unknown[]) =>
    part.length === whole.length
      ? ''
      : trans._n(
          ' in %2 cell',
          ' in %2 cells',
          part.length,
          number(part.length)
        );
  const pieces = [
    trans._n(
      '%2 cell not current',
      '%2 cells not current',
      total.cells,
      number(total.cells)
    ),
    adding.length && !counted.length
      ? trans.__('tasks not known')
      : tasksWords(sum(counted, 'tasks'), trans) + share(counted, adding)
  ];
  if (timed.length) {
    const time = duration(sum(timed, 'seconds'), trans);
    pieces.push(trans.__('%1 of task time', time) + share(timed, adding));
  }
  if (billed.length) {
    const isCharged = billed.every(({ charge }) => charge !== null);
    const costs = {
      node_hours: sum(billed, 'node_hours'),
      charge: isCharged ? sum(billed, 'charge') : null
    };
    pieces.push(costWords(costs, trans).join(', ') + share(billed, timed));
  }
  return trans.__('%1.', pieces.join(', '));
}

function sum(
  cells: readonly IPlannedCellView[],
  key: 'tasks' | 'seconds' | 'node_hours' | 'charge'
): number {
  return cells.reduce((all, cell) => all + (cell[key] ?? 0), 0);
}
