/**
 * The tasks of a queue that is open: filter, order, selection, list.
 */
import { closeIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { stateWords } from '../../components/status';
import { number } from '../../format';
import { Shown, State, STATES, SYMBOLS } from '../../tokens';
import type { IFilter, Order } from '../tokens';
import { Banner, canCancel, canRunAgain, refusal } from './bits';
import type { IQueueViewProps } from './queueprops';
import { TaskList } from './tasklist';

/** The list, and what determines what is in it. */
export function Tasks(props: IQueueViewProps): JSX.Element {
  const { filter, tasks, trans } = props;
  const range = React.useCallback(
    (first: number, last: number) => tasks.want(first, last),
    [tasks]
  );
  const filtered = !!(filter.state || filter.text || filter.cell);
  // One banner is enough where all of the queue is not told.
  const problem = props.problem ? '' : props.words(tasks.problem);
  return (
    <section
      className="jp-desipipe-section jp-desipipe-tasks-section"
      aria-label={trans.__('Tasks')}
    >
      <h3>
        {trans.__('Tasks')}{' '}
        <span className="jp-desipipe-aside" role="status">
          {tasks.total !== null && filtered
            ? trans.__('%1 shown', number(tasks.total))
            : ''}
        </span>
      </h3>
      <Filter {...props} />
      {tasks.selected.size > 0 && <Chosen {...props} />}
      {problem && <Banner>{problem}</Banner>}
      <TaskList
        total={tasks.total}
        busy={tasks.isOld}
        get={place => tasks.get(place)}
        onRange={range}
        onOpen={props.onTask}
        selected={tasks.selected}
        onSelect={some => tasks.select(some)}
        onClear={() => tasks.clearSelection()}
        empty={
          filtered
            ? trans.__('No matching tasks.')
            : trans.__(
                'No tasks yet. Call a decorated function, or run a %%desipipe cell.'
              )
        }
        trans={trans}
      />
    </section>
  );
}

/** What can be done with the tasks that are selected. */
function Chosen(props: IQueueViewProps): JSX.Element {
  const { line, tasks, trans } = props;
  const some = [...tasks.selected.values()];
  const refused = refusal(line.untrusted, trans);
  const button = (
    words: string,
    action: 'retry' | 'cancel',
    enabled: boolean
  ) => (
    <button
      type="button"
      className="jp-desipipe-button"
      title={refused || undefined}
      disabled={!enabled || refused !== ''}
      onClick={() => props.onTasks(action, some)}
    >
      {words}
    </button>
  );
  return (
    <div className="jp-desipipe-row jp-desipipe-chosen">
      <span role="status">{trans.__('%1 selected', number(some.length))}</span>
      {button(trans.__('Retry'), 'retry', some.some(canRunAgain))}
      {button(trans.__('Cancel…'), 'cancel', some.some(canCancel))}
      <button
        type="button"
        className="jp-desipipe-icon"
        title={trans.__('Clear the selection')}
        aria-label={trans.__('Clear the selection')}
        onClick={() => tasks.clearSelection()}
      >
        <closeIcon.react tag="span" height="14px" width="14px" />
      </button>
    </div>
  );
}

function Filter(props: IQueueViewProps): JSX.Element {
  const { filter, onFilter, trans } = props;
  return (
    <>
      {filter.cell && (
        <div className="jp-desipipe-chip">
          <span>{trans.__('Cell: %1', filter.cell.title)}</span>
          <button
            type="button"
            className="jp-desipipe-icon"
            title={trans.__('Show the tasks of all cells')}
            aria-label={trans.__('Show the tasks of all cells')}
            onClick={() => onFilter({ ...filter, cell: null })}
          >
            <closeIcon.react tag="span" height="14px" width="14px" />
          </button>
        </div>
      )}
      <div className="jp-desipipe-filter">
        <States {...props} />
        <select
          aria-label={trans.__('Order')}
          value={filter.order ?? ''}
          onChange={event =>
            onFilter({ ...filter, order: event.target.value as Order })
          }
        >
          {orders(trans).map(([order, words]) => (
            <option key={order} value={order}>
              {words}
            </option>
          ))}
        </select>
        <input
          type="search"
          aria-label={trans.__('Name, argument, error or identity')}
          title={trans.__(
            'Part of a name, f[12, i=12, ValueError, or the beginning of an identity'
          )}
          placeholder={trans.__('name, i=12, error or id…')}
          value={filter.text}
          maxLength={1000}
          onChange={event => onFilter({ ...filter, text: event.target.value })}
        />
      </div>
    </>
  );
}

function States({
  line,
  filter,
  onFilter,
  trans
}: IQueueViewProps): JSX.Element {
  const words = stateWords(trans);
  const states: Shown[] = [...STATES, 'BLOCKED', 'SUPERSEDED'];
  const some = (state: Shown) =>
    state === 'BLOCKED'
      ? line.blocked
      : state === 'SUPERSEDED'
        ? line.superseded
        : (line.counts[state as State] ?? 0);
  return (
    <select
      aria-label={trans.__('State')}
      value={filter.state}
      onChange={event =>
        onFilter({ ...filter, state: event.target.value as IFilter['state'] })
      }
    >
      <option value="">{trans.__('all states')}</option>
      {states
        .filter(state => some(state) || state === filter.state)
        .map(state => (
          <option key={state} value={state}>
            {SYMBOLS[state]} {words[state]} {number(some(state))}
          </option>
        ))}
    </select>
  );
}

function orders(trans: TranslationBundle): [Order, string][] {
  return [
    ['', trans.__('oldest first')],
    ['newest', trans.__('newest first')],
    ['state', trans.__('failed first')],
    ['slowest', trans.__('slowest first')],
    ['name', trans.__('by name')]
  ];
}
