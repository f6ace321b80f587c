/**
 * The line that says how a cell's tasks are doing, and what can be done. Knows nothing of servers: props in, callbacks out.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  closeIcon,
  ellipsesIcon,
  listIcon,
  refreshIcon
} from '@jupyterlab/ui-components';
import React from 'react';

import { ago, clock, duration, moment, number, pace } from '../format';
import {
  Action,
  CONDITION_SYMBOLS,
  count,
  ICauseView,
  ICellView,
  isOver,
  Shown,
  State,
  STATES,
  SYMBOLS,
  TARGETS
} from '../tokens';
import { TrustNote, untrustedWriter } from './trust';
import { kindsWords } from './failures';
import { Jobs } from './jobs';

/** Tasks that block others which are named at most, as in saved HTML. */
const CAUSES = 3;

/** Properties of {@link Status}. */
export interface IStatusProps {
  summary: ICellView;
  /** When the summary was true, by `performance.now()`, ms. */
  received: number;
  /** Whether clocks tick: someone looks, and the summary goes on being true. */
  ticking: boolean;
  /** Nobody can say whether the summary still holds, and nobody could do anything. */
  stale: boolean;
  /** The action under way. */
  acting: Action | null;
  /** Why the last action failed. */
  problem: string;
  /** Whether the details are open. */
  open: boolean;
  onAct: (action: Action) => void;
  onToggle: () => void;
  /** Trust the user whose outputs are shown as text, once the reader is sure. */
  onTrust?: () => void;
  /** Show the tasks one by one, where there is a place for it. */
  onShow?: () => void;
  trans: TranslationBundle;
}

/** Names of states for people. */
export function stateWords(trans: TranslationBundle): Record<Shown, string> {
  return {
    SUCCEEDED: trans.__('succeeded'),
    FAILED: trans.__('failed'),
    KILLED: trans.__('killed'),
    UNKNOWN: trans.__('unknown'),
    RUNNING: trans.__('running'),
    PENDING: trans.__('pending'),
    WAITING: trans.__('waiting'),
    BLOCKED: trans.__('blocked'),
    SUPERSEDED: trans.__('superseded'),
    DELETED: trans.__('deleted')
  };
}

/** Everything about a cell but its outputs. */
export function Status(props: IStatusProps): JSX.Element {
  const { summary, trans } = props;
  const quiet = summary.condition === 'done';
  const writer = untrustedWriter(summary);
  // Nothing goes on by itself: what to do must be seen at once.
  const stands =
    summary.condition === 'stopped' || summary.condition === 'paused';
  return (
    <div
      className="jp-desipipe-Status"
      data-condition={summary.condition}
      role="group"
      aria-label={trans.__('Tasks of %1', summary.title || summary.queue)}
    >
      <div className="jp-desipipe-line">
        <div className="jp-desipipe-facts">
          {quiet ? <QuietLine {...props} /> : <Progress {...props} />}
        </div>
        <Buttons {...props} />
      </div>
      <Announcement {...props} />
      {summary.failure && <Failure {...props} />}
      <Blocked {...props} />
      <Jobs summary={summary} trans={trans} />
      {writer && props.onTrust && (
        <TrustNote user={writer} onTrust={props.onTrust} trans={trans} />
      )}
      {summary.truncated && (
        <div className="jp-desipipe-note">{summary.truncated}</div>
      )}
      {summary.gone && <div className="jp-desipipe-note">{summary.gone}</div>}
      {props.problem && (
        <div className="jp-desipipe-problem" role="alert">
          {props.problem}
        </div>
      )}
      {!props.open && stands && <Advice {...props} />}
      {props.open && <Details {...props} />}
    </div>
  );
}

/** What a screen reader says when it happens; not each step of the bar. */
function Announcement({ summary, trans }: IStatusProps): JSX.Element {
  const bad = count(summary, TARGETS.retry);
  const words =
    summary.condition === 'done'
      ? trans.__('All tasks succeeded')
      : bad
        ? trans._n(
            '%2 task did not succeed',
            '%2 tasks did not succeed',
            bad,
            number(bad)
          )
        : '';
  return (
    <span className="jp-desipipe-announcement" role="status">
      {words}
    </span>
  );
}

/** What to type next. */
function Advice({ summary }: IStatusProps): JSX.Element {
  return (
    <>
      {summary.advice.map(([what, command]) => (
        <div key={command} className="jp-desipipe-note">
          → {what}: <code>{typed(command)}</code>
        </div>
      ))}
    </>
  );
}

/** A command as one types it in a notebook, where the line magic knows the same verbs. */
function typed(command: string): string {
  return command.startsWith('desipipe ') ? `%${command}` : command;
}

function Progress(props: IStatusProps): JSX.Element {
  const { summary, trans } = props;
  const done = count(summary, ['SUCCEEDED']);
  return (
    <>
      <span className="jp-desipipe-title">{summary.title}</span>
      <Bar {...props} />
      <span className="jp-desipipe-numbers">
        {number(done)}/{number(summary.total)}
      </span>
      <ConditionWords {...props} />
      <Counts {...props} />
      <Clocks {...props} />
      {props.stale && (
        <span className="jp-desipipe-asof">
          {trans.__('as of %1', moment(summary.time))}
        </span>
      )}
    </>
  );
}

function Bar({ summary, trans }: IStatusProps): JSX.Element {
  const done = count(summary, ['SUCCEEDED']);
  const total = Math.max(summary.total, 1);
  return (
    <div
      className="jp-desipipe-bar"
      role="progressbar"
      aria-label={summary.title || summary.queue}
      aria-valuemin={0}
      aria-valuemax={summary.total}
      aria-valuenow={done}
      aria-valuetext={trans.__(
        '%1 of %2 tasks succeeded',
        number(done),
        number(summary.total)
      )}
    >
      {STATES.slice(0, 5).map(state => (
        <span
          key={state}
          data-state={state}
          style={{ width: `${(100 * (summary.counts[state] ?? 0)) / total}%` }}
        />
      ))}
    </div>
  );
}

function ConditionWords({ summary, trans }: IStatusProps): JSX.Element | null {
  const words: Partial<Record<string, string>> = {
    // What is superseded is counted instead.
    empty: summary.superseded ? '' : trans.__('no tasks'),
    paused: trans.__('paused'),
    stopped: trans.__('no worker')
  };
  const word = words[summary.condition];
  return word ? (
    <span className="jp-desipipe-condition">
      <Symbol text={CONDITION_SYMBOLS[summary.condition]} /> {word}
    </span>
  ) : null;
}

/** How many are in the states that one must know of at a glance. */
function Counts({ summary, trans }: IStatusProps): JSX.Element {
  const words = stateWords(trans);
  const running = count(summary, ['RUNNING']);
  const counts: [Shown, number][] = [
    ['RUNNING', running],
    // What is still to come says nothing while something goes on.
    ['PENDING', running ? 0 : count(summary, ['PENDING'])],
    ['WAITING', running ? 0 : count(summary, ['WAITING']) - summary.blocked],
    ...TARGETS.retry.map((state): [State, number] => [
      state,
      count(summary, [state])
    ]),
    ['BLOCKED', summary.blocked],
    ['SUPERSEDED', summary.superseded]
  ];
  return (
    <>
      {counts
        .filter(([, n]) => n > 0)
        .map(([state, n]) => (
          <span
            key={state}
            className="jp-desipipe-count"
            data-state={state}
            title={words[state]}
          >
            <Symbol text={SYMBOLS[state]} /> {number(n)} {words[state]}
          </span>
        ))}
    </>
  );
}

function Symbol({ text }: { text: string }): JSX.Element {
  return (
    <span className="jp-desipipe-symbol" aria-hidden="true">
      {text}
    </span>
  );
}

/** What has passed and what remains: the only things that move by themselves, once a second while someone looks. */
function Clocks(props: IStatusProps): JSX.Element | null {
  const { summary, received, ticking, trans } = props;
  const [now, setNow] = React.useState(received);
  React.useEffect(() => {
    if (!ticking) {
      return;
    }
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  const passed = ticking ? Math.max(0, now - received) / 1000 : 0;
  const { began, elapsed, eta } = summary;
  return (
    <span className="jp-desipipe-clocks" role="timer" aria-live="off">
      {elapsed !== null && began !== null && (
        <span title={trans.__('elapsed')}>
          {isOver(summary)
            ? duration(elapsed, trans)
            : clock(
                elapsed + (count(summary, ['RUNNING']) ? passed : 0),
                trans
              )}
        </span>
      )}
      {eta !== null && !props.stale && (
        <span title={trans.__('estimated from the recent rate')}>
          {eta - passed > 0
            ? trans.__('about %1 left', clock(eta - passed, trans))
            : trans.__('about to end')}
        </span>
      )}
    </span>
  );
}

/** Workers, with their slots where these are more, as `desipipe.view.cell_lines`. */
function workersText(
  { workers, slots }: ICellView,
  trans: TranslationBundle
): string {
  const text = trans._n('%2 worker', '%2 workers', workers, number(workers));
  return slots > workers
    ? trans._n('%3, %2 slot', '%3, %2 slots', slots, number(slots), text)
    : text;
}

function QuietLine({ summary, trans }: IStatusProps): JSX.Element {
  const parts = [
    trans._n('%2 task', '%2 tasks', summary.total, number(summary.total))
  ];
  if (!summary.cached && summary.elapsed !== null) {
    const time = duration(summary.elapsed, trans);
    parts.push(
      summary.slots > 1
        ? trans.__('%1 on %2', time, workersText(summary, trans))
        : time
    );
  }
  if (summary.cached) {
    parts.push(
      summary.computed === null
        ? trans.__('cached')
        : trans.__('cached (computed %1)', ago(summary.computed))
    );
  }
  return (
    <span className="jp-desipipe-quiet">
      <Symbol text={SYMBOLS.SUCCEEDED} /> {parts.join(' · ')}
    </span>
  );
}

function Failure({ summary, trans }: IStatusProps): JSX.Element {
  const failure = summary.failure!;
  const kinds = kindsWords(failure.kinds, trans);
  const words = stateWords(trans);
  const counts = TARGETS.retry
    .filter(state => summary.counts[state])
    .map(state => `${number(summary.counts[state] ?? 0)} ${words[state]}`);
  return (
    <div className="jp-desipipe-failure" title={taskName(failure)}>
      <Symbol text="⚠" /> {counts.join(', ')}
      {kinds && ` (${kinds})`}
      {count(summary, TARGETS.retry) > 1
        ? trans.__(', first %1:', taskName(failure))
        : ':'}{' '}
      <code>{failure.cause}</code>
      {failure.line !== null && (
        <span> {trans.__('(cell line %1)', failure.line)}</span>
      )}
    </div>
  );
}

/** Tasks of other cells that keep those of this one from running. */
function Blocked({ summary, trans }: IStatusProps): JSX.Element {
  const words = stateWords(trans);
  const causes = summary.causes.filter(
    ({ tid }) => tid !== summary.failure?.tid
  );
  return (
    <>
      {causes.slice(0, CAUSES).map(cause => (
        <div key={cause.tid} className="jp-desipipe-blocked">
          <span className="jp-desipipe-count" data-state="BLOCKED">
            <Symbol text={SYMBOLS.BLOCKED} />
          </span>{' '}
          {trans._n(
            '%2 task blocked by %3 (%4):',
            '%2 tasks blocked by %3 (%4):',
            cause.count,
            number(cause.count),
            taskName(cause),
            words[cause.state]
          )}{' '}
          <code>{cause.cause}</code>
        </div>
      ))}
    </>
  );
}

function taskName({ name, index }: Pick<ICauseView, 'name' | 'index'>): string {
  return index === null ? name : `${name}[${index}]`;
}

function Buttons(props: IStatusProps): JSX.Element {
  const { summary, acting, trans } = props;
  const failed = count(summary, TARGETS.retry);
  const refused = summary.untrusted
    ? trans.__(
        'This queue belongs to user %1, whom you do not trust.',
        summary.untrusted
      )
    : '';
  return (
    <span className="jp-desipipe-buttons">
      {!props.stale && <Start {...props} refused={refused} />}
      {failed > 0 && !props.stale && (
        <button
          type="button"
          disabled={acting !== null || refused !== ''}
          aria-busy={acting === 'retry'}
          title={
            refused ||
            trans._n(
              'Retry the failed task',
              'Retry the %2 failed tasks',
              failed,
              number(failed)
            )
          }
          aria-label={trans.__('Retry')}
          onClick={() => props.onAct('retry')}
        >
          <refreshIcon.react tag="span" height="16px" width="16px" />
        </button>
      )}
      {!isOver(summary) && !props.stale && (
        <button
          type="button"
          disabled={acting !== null || refused !== ''}
          aria-busy={acting === 'cancel'}
          title={refused || trans.__('Cancel the remaining tasks…')}
          aria-label={trans.__('Cancel')}
          onClick={() => props.onAct('cancel')}
        >
          <closeIcon.react tag="span" height="16px" width="16px" />
        </button>
      )}
      {props.onShow && (
        <button
          type="button"
          title={trans.__('Show the tasks in the panel')}
          aria-label={trans.__('Show the tasks in the panel')}
          onClick={props.onShow}
        >
          <listIcon.react tag="span" height="16px" width="16px" />
        </button>
      )}
      <button
        type="button"
        title={props.open ? trans.__('Hide details') : trans.__('Show details')}
        aria-label={trans.__('Details')}
        aria-expanded={props.open}
        onClick={props.onToggle}
      >
        <ellipsesIcon.react tag="span" height="16px" width="16px" />
      </button>
    </span>
  );
}

/** Starts what must be started before any task runs. */
function Start(props: IStatusProps & { refused: string }): JSX.Element | null {
  const { summary, acting, refused, trans } = props;
  const actions: Partial<Record<string, [Action, string]>> = {
    stopped: ['start', trans.__('Start workers')],
    paused: ['resume', trans.__('Resume')]
  };
  const [action, words] = actions[summary.condition] ?? [];
  return action ? (
    <button
      type="button"
      className="jp-desipipe-button"
      data-action={action}
      disabled={acting !== null || refused !== ''}
      aria-busy={acting === action}
      title={refused || undefined}
      onClick={() => props.onAct(action)}
    >
      {words}
    </button>
  ) : null;
}

function Details({ summary, trans }: IStatusProps): JSX.Element {
  const words = stateWords(trans);
  const states = STATES.filter(state => summary.counts[state]);
  return (
    <dl className="jp-desipipe-details">
      <dt>{trans.__('Tasks')}</dt>
      <dd>
        {states.map(state => (
          <span key={state} className="jp-desipipe-count" data-state={state}>
            <Symbol text={SYMBOLS[state]} />{' '}
            {number(summary.counts[state] ?? 0)} {words[state]}
          </span>
        ))}
      </dd>
      {summary.rate !== null && (
        <>
          <dt>{trans.__('Rate')}</dt>
          <dd>{pace(summary.rate, trans)}</dd>
        </>
      )}
      <dt>{trans.__('Workers')}</dt>
      <dd>{workersText(summary, trans)}</dd>
      {summary.began !== null && (
        <>
          <dt>{trans.__('Began')}</dt>
          <dd>{moment(summary.began)}</dd>
        </>
      )}
      {summary.ended !== null && (
        <>
          <dt>{trans.__('Ended')}</dt>
          <dd>{moment(summary.ended)}</dd>
        </>
      )}
      <dt>{trans.__('Queue')}</dt>
      <dd>
        {summary.queue} <code>{summary.folder}</code>
      </dd>
      {summary.causes.length > 0 && (
        <>
          <dt>{trans.__('Blocked by')}</dt>
          <dd>
            {summary.causes.map(cause => (
              <div key={cause.tid}>
                {taskName(cause)}: <code>{cause.cause}</code> (
                {number(cause.count)})
              </div>
            ))}
          </dd>
        </>
      )}
      {summary.advice.map(([what, command]) => (
        <React.Fragment key={command}>
          <dt>{what}</dt>
          <dd>
            <code>{typed(command)}</code>
          </dd>
        </React.Fragment>
      ))}
    </dl>
  );
}
