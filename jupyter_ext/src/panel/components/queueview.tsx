/**
 * A queue that is open in the panel: how it is doing, its workers, its tasks.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { kindsWords } from '../../components/failures';
import { stateWords } from '../../components/status';
import { number, pace } from '../../format';
import { Shown, State, SYMBOLS } from '../../tokens';
import { COMMANDS, label } from '../tokens';
import { bad, Banner, Bar, left, Link, refusal, Symbol } from './bits';
import { Apps } from './apps';
import type { IQueueViewProps } from './queueprops';
import { Tasks } from './queuetasks';
import { Workers } from './workers';

/** Causes that are named. */
const CAUSES = 3;

/** What is below the name of a queue that is open. */
export function QueueView(props: IQueueViewProps): JSX.Element {
  const { line, summary, problem, trans } = props;
  if (line.error) {
    return (
      <div className="jp-desipipe-body">
        <Banner>{line.error}</Banner>
      </div>
    );
  }
  return (
    <div className="jp-desipipe-body">
      {problem && <Banner>{problem}</Banner>}
      <div className="jp-desipipe-progress">
        <Bar line={line} trans={trans} />
        <span className="jp-desipipe-numbers">
          {number(line.counts.SUCCEEDED ?? 0)} / {number(line.total)}
        </span>
      </div>
      <Counts {...props} />
      <Pace {...props} />
      <Owner {...props} />
      {!!summary?.n_damage && (
        <Banner>
          {trans._n(
            '%2 line of the journal cannot be read. The others count. To move it aside: desipipe doctor --repair',
            '%2 lines of the journal cannot be read. The others count. To move them aside: desipipe doctor --repair',
            summary.n_damage,
            number(summary.n_damage)
          )}
        </Banner>
      )}
      <Failure {...props} />
      <Causes {...props} />
      {summary?.held.map(({ user, text }) => (
        <Banner key={user}>{text}</Banner>
      ))}
      <Buttons {...props} />
      {summary && (
        <Workers
          summary={summary}
          refused={refusal(line.untrusted, trans)}
          open={props.workers}
          onOpen={props.onWorkers}
          onEndWorker={props.onEndWorker}
          onTask={props.onTask}
          trans={trans}
        />
      )}
      {props.apps && (
        <Apps
          load={props.apps}
          version={line.time}
          onApp={name => props.onFilter({ ...props.filter, text: `${name}[` })}
          trans={trans}
        />
      )}
      <UseSignal signal={props.tasks.changed}>
        {() => <Tasks {...props} />}
      </UseSignal>
    </div>
  );
}

function Counts({
  line,
  filter,
  onFilter,
  trans
}: IQueueViewProps): JSX.Element {
  const words = stateWords(trans);
  const counts: [Shown, number][] = [
    ...(['RUNNING', 'FAILED', 'KILLED', 'UNKNOWN', 'PENDING'] as const).map(
      (state): [State, number] => [state, line.counts[state] ?? 0]
    ),
    ['BLOCKED', line.blocked],
    ['SUPERSEDED', line.superseded]
  ];
  return (
    <div className="jp-desipipe-counts">
      {counts
        .filter(([, n]) => n)
        .map(([state, n]) => (
          <Link
            key={state}
            title={trans.__('Show these tasks')}
            onClick={() => onFilter({ ...filter, state })}
          >
            <span className="jp-desipipe-count" data-state={state}>
              <Symbol text={SYMBOLS[state]} /> {number(n)} {words[state]}
              {state === 'PENDING' &&
                !!line.claimed &&
                ` (${trans.__('%1 claimed', number(line.claimed))})`}
            </span>
          </Link>
        ))}
    </div>
  );
}

function Pace({ line, trans }: IQueueViewProps): JSX.Element | null {
  const { manager, rate, eta } = line;
  const parts: string[] = [];
  if (rate !== null && line.counts.RUNNING) {
    parts.push(pace(rate, trans));
  }
  if (eta !== null) {
    parts.push(left(eta, trans));
  }
  const limits = [...new Set(Object.values(line.limits))];
  if (line.left > 0 && limits.length) {
    parts.push(
      trans.__('at most %1 in parallel', limits.map(n => number(n)).join(', '))
    );
  }
  if (manager) {
    parts.push(
      manager.alive === false
        ? trans.__('manager on %1 has died', manager.host)
        : manager.stopping
          ? trans.__('manager on %1 is stopping', manager.host)
          : trans.__('manager on %1', manager.host)
    );
  } else if (line.left > 0) {
    parts.push(trans.__('no manager'));
  }
  return (
    <>
      {parts.length > 0 && (
        <div className="jp-desipipe-note">{parts.join(' · ')}</div>
      )}
      {manager?.says && <Banner>{manager.says}</Banner>}
      {line.last_says && (
        <Banner>
          {trans.__('The last manager reported: %1', line.last_says)}
        </Banner>
      )}
    </>
  );
}

function Owner({ line, trans }: IQueueViewProps): JSX.Element | null {
  if (line.untrusted) {
    return <Banner>{refusal(line.untrusted, trans)}</Banner>;
  }
  const parts = [
    line.own === false ? trans.__('of user %1', line.owner ?? '') : '',
    line.group ? trans.__('shared by group %1', line.group) : ''
  ].filter(part => part);
  return parts.length ? (
    <div className="jp-desipipe-note">{parts.join(' · ')}</div>
  ) : null;
}

function Failure({
  summary,
  onTask,
  trans
}: IQueueViewProps): JSX.Element | null {
  const failure = summary?.failures[0];
  const kinds = kindsWords(summary?.failure_kinds ?? [], trans);
  // Others may have failed later, and block what it does not.
  const blocks =
    summary?.causes.find(cause => cause.tid === failure?.tid)?.count ?? 0;
  return failure ? (
    <div className="jp-desipipe-failure">
      <Symbol text="⚠" /> {kinds && `${trans.__('%1; first:', kinds)} `}
      <Link onClick={() => onTask(failure)}>{label(failure)}</Link>:{' '}
      <code>{failure.cause}</code>
      {blocks > 0 && ` ${blocksWords(blocks, trans)}`}
    </div>
  ) : null;
}

function blocksWords(n: number, trans: TranslationBundle): string {
  return trans._n('(blocks %2 task)', '(blocks %2 tasks)', n, number(n));
}

/** Tasks that block others, where that is not the failure above. */
function Causes({
  summary,
  onTask,
  trans
}: IQueueViewProps): JSX.Element | null {
  const first = summary?.failures[0]?.tid;
  const causes = summary?.causes.filter(cause => cause.tid !== first) ?? [];
  const rest = (summary?.n_causes ?? 0) - (summary?.causes.length ?? 0);
  return causes.length ? (
    <>
      {causes.slice(0, CAUSES).map(cause => (
        <div key={cause.tid} className="jp-desipipe-failure">
          <Symbol text={SYMBOLS[cause.state]} />{' '}
          <Link onClick={() => onTask(cause)}>{label(cause)}</Link>:{' '}
          <code>{cause.cause}</code> {blocksWords(cause.count, trans)}
        </div>
      ))}
      {causes.length + rest > CAUSES && (
        <div className="jp-desipipe-note">
          {trans.__('and %1 more', number(causes.length + rest - CAUSES))}
        </div>
      )}
    </>
  ) : null;
}

function Buttons({ line, onCommand, trans }: IQueueViewProps): JSX.Element {
  const failed = bad(line);
  const alone = !line.manager || line.manager.alive === false;
  const refused = refusal(line.untrusted, trans);
  const button = (
    command: string,
    words: string,
    title: string,
    main = false,
    why = ''
  ) => (
    <button
      type="button"
      className={`jp-desipipe-button${main ? ' jp-mod-main' : ''}`}
      data-command={command}
      title={why || title}
      disabled={why !== ''}
      onClick={() => onCommand(command)}
    >
      {words}
    </button>
  );
  return (
    <div className="jp-desipipe-actions">
      {line.left > 0 &&
        alone &&
        button(
          COMMANDS.start,
          trans.__('Start workers'),
          trans.__('Start a manager, which starts workers'),
          line.condition === 'stopped',
          refused
        )}
      {failed > 0 &&
        button(
          COMMANDS.retry,
          trans.__('Retry %1', number(failed)),
          trans._n(
            'Retry the failed task',
            'Retry the %2 failed tasks',
            failed,
            number(failed)
          ),
          false,
          refused
        )}
      {button(
        COMMANDS.graph,
        trans.__('Graph'),
        trans.__('Show which tasks depend on which')
      )}
      {button(
        COMMANDS.timeline,
        trans.__('Timeline'),
        trans.__('Show which worker ran what when')
      )}
    </div>
  );
}
