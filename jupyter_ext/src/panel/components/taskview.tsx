/**
 * The page of a task.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { stateWords } from '../../components/status';
import { duration, moment, number } from '../../format';
import { TARGETS } from '../../tokens';
import { shown } from '../log';
import { IAttempt, ITask, ITaskLabel, label } from '../tokens';
import { Banner, Link, shownState, StateSymbol } from './bits';
import { Displays, IDisplaySource } from './displays';
import { LogView } from './logview';

/** Puts highlighted code into a node. */
export type Highlight = (code: string, node: HTMLElement) => Promise<void>;

/** Properties of {@link TaskView}. */
export interface ITaskViewProps {
  task: ITask;
  /** Name of its queue. */
  queue: string;
  problem: string;
  out: { lines: readonly string[]; dropped: number };
  err: { lines: readonly string[]; dropped: number };
  highlight: Highlight;
  /** Where what it displayed is had from. */
  displays?: IDisplaySource;
  onTask: (task: ITaskLabel) => void;
  onRetry: () => void;
  onCancel: () => void;
  onCell: () => void;
  onQueue: () => void;
  onTrust?: (user: string) => Promise<boolean>;
  trans: TranslationBundle;
}

/** All that is known of a task. */
export function TaskView(props: ITaskViewProps): JSX.Element {
  const { task, trans } = props;
  const state = shownState(task);
  const word = stateWords(trans)[state] ?? task.state;
  const command = `desipipe logs -q ${props.queue} ${task.tid.slice(0, 12)}`;
  return (
    <>
      {props.problem && <Banner>{props.problem}</Banner>}
      <header className="jp-desipipe-row">
        <h2>
          <StateSymbol state={state} /> {label(task)}
        </h2>
        <span className="jp-desipipe-state" data-state={state} role="status">
          {word}
        </span>
        <span className="jp-desipipe-actions">
          <button
            type="button"
            className="jp-desipipe-button"
            onClick={props.onCell}
          >
            {trans.__('Show the cell')}
          </button>
          {TARGETS.retry.includes(task.state) && (
            <button
              type="button"
              className="jp-desipipe-button jp-mod-main"
              onClick={props.onRetry}
            >
              {trans.__('Retry')}
            </button>
          )}
          {TARGETS.cancel.includes(task.state) && (
            <button
              type="button"
              className="jp-desipipe-button"
              onClick={props.onCancel}
            >
              {trans.__('Cancel…')}
            </button>
          )}
        </span>
      </header>
      {task.cause && <p className="jp-desipipe-cause">{shown(task.cause)}</p>}
      {state === 'SUPERSEDED' && (
        <p className="jp-desipipe-cause">
          {trans.__(
            'Other code took the place of its own, or of what it needs. It does not count, and keeps its result.'
          )}
        </p>
      )}
      {state === 'BLOCKED' && (
        <p className="jp-desipipe-cause">
          {trans.__('It cannot run until')}{' '}
          <Link
            onClick={() =>
              props.onTask({ tid: task.blocked, name: '', index: 0 })
            }
          >
            {trans.__('the task that blocks it')}
          </Link>{' '}
          {trans.__('is retried.')}
        </p>
      )}
      {task.problems.map(problem => (
        <Banner key={problem}>{problem}</Banner>
      ))}
      {task.trace && (
        <section
          className="jp-desipipe-section"
          aria-label={trans.__('Traceback')}
        >
          <h3>{trans.__('Traceback')}</h3>
          <pre className="jp-desipipe-code" tabIndex={0}>
            {task.trace.split('\n').map(shown).join('\n')}
          </pre>
        </section>
      )}
      <LogView
        title={trans.__('Output')}
        {...props.out}
        command={command}
        running={task.state === 'RUNNING'}
        trans={trans}
      />
      <LogView
        title={trans.__('Errors')}
        {...props.err}
        command={`${command} --err`}
        running={task.state === 'RUNNING'}
        trans={trans}
      />
      {props.displays && (
        <Displays
          source={props.displays}
          version={`${task.attempt} ${task.state}`}
          command={`${command} --save displays`}
          onTrust={props.onTrust}
          trans={trans}
        />
      )}
      <Arguments {...props} />
      {task.code && (
        <section className="jp-desipipe-section" aria-label={trans.__('Code')}>
          <h3>{trans.__('Code')}</h3>
          <Code code={task.code} highlight={props.highlight} />
        </section>
      )}
      <Attempts {...props} />
      <Related
        title={trans.__('Needs')}
        tasks={task.requires}
        n={task.n_requires}
        {...props}
      />
      <Related
        title={trans.__('Is needed by')}
        tasks={task.dependants}
        n={task.n_dependants}
        {...props}
      />
      <Facts {...props} />
    </>
  );
}

function Code({
  code,
  highlight
}: {
  code: string;
  highlight: Highlight;
}): JSX.Element {
  const node = React.useRef<HTMLPreElement>(null);
  React.useEffect(() => {
    const target = document.createElement('code');
    target.textContent = code;
    node.current?.replaceChildren(target);
    // What is very long is shown as it is: to colour it would take longer than to read it.
    if (code.length < 50_000) {
      const coloured = document.createElement('code');
      void highlight(code, coloured).then(() => {
        if (target.isConnected && coloured.textContent === code) {
          target.replaceWith(coloured);
        }
      });
    }
  }, [code, highlight]);
  return (
    <pre ref={node} className="jp-desipipe-code cm-s-jupyter" tabIndex={0} />
  );
}

function Arguments({ task, trans }: ITaskViewProps): JSX.Element | null {
  const names = Object.keys(task.arguments);
  return names.length ? (
    <section className="jp-desipipe-section" aria-label={trans.__('Arguments')}>
      <h3>{trans.__('Arguments')}</h3>
      <dl className="jp-desipipe-facts-list">
        {names.map(name => (
          <React.Fragment key={name}>
            <dt>
              <code>{name}</code>
            </dt>
            <dd>
              <code>{shown(task.arguments[name])}</code>
            </dd>
          </React.Fragment>
        ))}
      </dl>
    </section>
  ) : null;
}

function Attempts({ task, trans }: ITaskViewProps): JSX.Element | null {
  return task.attempts.length ? (
    <section className="jp-desipipe-section" aria-label={trans.__('Attempts')}>
      <h3>{trans.__('Attempts')}</h3>
      <div
        className="jp-desipipe-scroll"
        tabIndex={0}
        role="group"
        aria-label={trans.__('Attempts')}
      >
        <table>
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">{trans.__('State')}</th>
              <th scope="col">{trans.__('Began')}</th>
              <th scope="col">{trans.__('Took')}</th>
              <th scope="col">{trans.__('Host')}</th>
              <th scope="col">{trans.__('Job')}</th>
              <th scope="col">{trans.__('Cause')}</th>
            </tr>
          </thead>
          <tbody>
            {task.attempts.map(attempt => (
              <Attempt
                key={`${attempt.attempt} ${attempt.worker} ${attempt.state}`}
                attempt={attempt}
                trans={trans}
              />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  ) : null;
}

function Attempt({
  attempt,
  trans
}: {
  attempt: IAttempt;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <tr className={attempt.current ? '' : 'jp-desipipe-past'}>
      <td className="jp-desipipe-right">{attempt.attempt}</td>
      <td>
        <StateSymbol state={attempt.state} />{' '}
        {stateWords(trans)[attempt.state] ?? attempt.state}
      </td>
      <td>{attempt.began === null ? '' : moment(attempt.began)}</td>
      <td className="jp-desipipe-right">
        {attempt.duration === null ? '' : duration(attempt.duration, trans)}
      </td>
      <td>{attempt.host}</td>
      <td>{attempt.job}</td>
      <td>{shown(attempt.cause)}</td>
    </tr>
  );
}

function Related(
  props: ITaskViewProps & { title: string; tasks: ITask['requires']; n: number }
): JSX.Element | null {
  const { tasks, n, trans } = props;
  return n ? (
    <section className="jp-desipipe-section" aria-label={props.title}>
      <h3>
        {props.title} <span className="jp-desipipe-aside">{number(n)}</span>
      </h3>
      <ul className="jp-desipipe-related">
        {tasks.map(task => (
          <li key={task.tid}>
            <StateSymbol state={task.state} />{' '}
            <Link
              title={stateWords(trans)[task.state]}
              onClick={() => props.onTask(task)}
            >
              {label(task)}
            </Link>
          </li>
        ))}
        {n > tasks.length && (
          <li>{trans.__('and %1 more', number(n - tasks.length))}</li>
        )}
      </ul>
    </section>
  ) : null;
}

function Facts(props: ITaskViewProps): JSX.Element {
  const { task, trans } = props;
  const when = (time: number | null) => (time === null ? '' : moment(time));
  const versions = Object.entries(task.versions).map(
    ([name, version]) => `${name} ${version}`
  );
  const facts: [string, React.ReactNode][] = [
    [trans.__('Queue'), <Link onClick={props.onQueue}>{props.queue}</Link>],
    [trans.__('Identity'), <code>{task.tid}</code>],
    [trans.__('Added'), when(task.added)],
    [trans.__('Began'), when(task.began)],
    [
      trans.__('Took'),
      task.duration === null ? '' : duration(task.duration, trans)
    ],
    [trans.__('Added by'), task.user ?? ''],
    [trans.__('Run by'), task.ran_by ?? ''],
    [trans.__('Host'), task.host],
    [trans.__('Job'), task.job],
    [
      trans.__('Result'),
      task.result === null ? '' : trans.__('%1 bytes', number(task.result))
    ],
    [
      trans.__('Time limit'),
      task.timeout === null ? '' : duration(task.timeout, trans)
    ],
    [
      trans.__('Retries'),
      task.retries ? [number(task.retries), ...task.retry_on].join(' ') : ''
    ],
    [trans.__('Priority'), task.priority ? number(task.priority) : ''],
    [trans.__('Folder'), task.cwd && <code>{task.cwd}</code>],
    [trans.__('Versions'), versions.join(', ')]
  ];
  return (
    <section className="jp-desipipe-section" aria-label={trans.__('Facts')}>
      <h3>{trans.__('Facts')}</h3>
      <dl className="jp-desipipe-facts-list">
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <React.Fragment key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </React.Fragment>
          ))}
      </dl>
    </section>
  );
}
