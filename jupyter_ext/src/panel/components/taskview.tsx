/**
 * The page of a task.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { stateWords } from '../../components/status';
import { shown } from '../log';
import { ITaskView, ITaskLabel, label } from '../tokens';
import {
  Banner,
  canCancel,
  canRunAgain,
  isRunAgain,
  Link,
  shownState,
  StateSymbol
} from './bits';
import { Code, Highlight } from './code';
import { Displays, IDisplaySource } from './displays';
import { ILog, LogView } from './logview';
import { Arguments, Attempts, Details, Related, Result } from './tasksections';

/** Properties of {@link TaskView}. */
export interface ITaskViewProps {
  task: ITaskView;
  /** Name of its queue. */
  queue: string;
  problem: string;
  /** Its queue was deleted: nothing can be done to it. */
  gone?: boolean;
  out: ILog;
  err: ILog;
  highlight: Highlight;
  /** Where what it displayed is had from. */
  displays?: IDisplaySource;
  onTask: (task: ITaskLabel) => void;
  onRetry: () => void;
  onCancel: () => void;
  /** `null` where there are no notebooks. */
  onCell: (() => void) | null;
  onQueue: () => void;
  onTrust?: (user: string) => Promise<boolean>;
  /** Show the output of another attempt. */
  onAttempt?: (attempt: number) => void;
  trans: TranslationBundle;
}

/** All that is known of a task. */
export function TaskView(props: ITaskViewProps): JSX.Element {
  const { task, trans } = props;
  return (
    <>
      {props.problem && <Banner>{props.problem}</Banner>}
      <Header {...props} />
      <Condition {...props} />
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
      <Output {...props} />
      <Result {...props} />
      <Arguments {...props} />
      {task.code && (
        <section className="jp-desipipe-section" aria-label={trans.__('Code')}>
          <h3>{trans.__('Code')}</h3>
          <Code
            code={task.code}
            line={task.line ?? null}
            highlight={props.highlight}
            trans={trans}
          />
        </section>
      )}
      <Attempts {...props} />
      <Related
        title={trans.__('Depends on')}
        tasks={task.requires}
        n={task.n_requires}
        {...props}
      />
      <Related
        title={trans.__('Used by')}
        tasks={task.dependants}
        n={task.n_dependants}
        superseded={task.n_superseded_dependants}
        {...props}
      />
      <Details {...props} />
    </>
  );
}

function Header(props: ITaskViewProps): JSX.Element {
  const { task, trans } = props;
  const state = shownState(task);
  return (
    <header className="jp-desipipe-row">
      <Neighbours {...props} />
      <h2>
        <StateSymbol state={state} /> {label(task)}
      </h2>
      <span className="jp-desipipe-state" data-state={state} role="status">
        {stateWords(trans)[state] ?? task.state}
      </span>
      <span className="jp-desipipe-actions">
        {props.onCell && (
          <button
            type="button"
            className="jp-desipipe-button"
            onClick={props.onCell}
          >
            {trans.__('Go to cell')}
          </button>
        )}
        {!props.gone && canRunAgain(task) && (
          <button
            type="button"
            className={`jp-desipipe-button${isRunAgain(task) ? '' : ' jp-mod-main'}`}
            onClick={props.onRetry}
          >
            {isRunAgain(task) ? trans.__('Run again…') : trans.__('Retry')}
          </button>
        )}
        {!props.gone && canCancel(task) && (
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
  );
}

/** The tasks before and after it in the queue. */
function Neighbours({
  task,
  gone,
  onTask,
  trans
}: ITaskViewProps): JSX.Element | null {
  const button = (
    words: string,
    symbol: string,
    other: ITaskLabel | null | undefined
  ) => (
    <button
      type="button"
      className="jp-desipipe-icon"
      title={other ? `${words}: ${label(other)}` : words}
      aria-label={words}
      disabled={!other || gone}
      onClick={() => other && onTask(other)}
    >
      {symbol}
    </button>
  );
  return (
    <span className="jp-desipipe-row">
      {button(trans.__('Previous task'), '‹', task.previous)}
      {button(trans.__('Next task'), '›', task.next)}
    </span>
  );
}

/** Why it is in its state. */
function Condition({ task, onTask, trans }: ITaskViewProps): JSX.Element {
  const state = shownState(task);
  return (
    <>
      {task.cause && <p className="jp-desipipe-cause">{shown(task.cause)}</p>}
      {state === 'SUPERSEDED' && (
        <p className="jp-desipipe-cause">
          {trans.__(
            'Its code, or that of a task it depends on, was edited and run again. It keeps its result, and is not counted.'
          )}
        </p>
      )}
      {state === 'BLOCKED' && (
        <p className="jp-desipipe-cause">
          {trans.__('Blocked by')}{' '}
          <Link
            onClick={() =>
              onTask(task.blocker ?? { tid: task.blocked, name: '', index: 0 })
            }
          >
            {task.blocker
              ? label(task.blocker)
              : trans.__('task %1', task.blocked.slice(0, 8))}
          </Link>
          {trans.__(', which did not succeed. Retry that task first.')}
        </p>
      )}
    </>
  );
}

function Output(props: ITaskViewProps): JSX.Element {
  const { task, queue, trans } = props;
  const command = `desipipe logs -q ${queue} ${task.tid.slice(0, 12)}`;
  const isRunning = task.state === 'RUNNING';
  const name = `${task.name}-${task.index}`;
  const attempts = task.attempts.length + (isRunning ? 1 : 0);
  return (
    <>
      {props.displays && (
        <Displays
          source={props.displays}
          version={`${task.attempt} ${task.state}`}
          command={`${command} --save displays`}
          onTrust={props.onTrust}
          trans={trans}
        />
      )}
      {attempts > 1 && props.onAttempt && (
        <Choice
          task={task}
          attempt={props.out.attempt}
          onAttempt={props.onAttempt}
          trans={trans}
        />
      )}
      <LogView
        title={trans.__('Output')}
        log={props.out}
        file={`${name}.out.txt`}
        command={command}
        running={isRunning && !props.out.attempt}
        trans={trans}
      />
      <LogView
        title={trans.__('stderr')}
        log={props.err}
        file={`${name}.err.txt`}
        command={`${command} --err`}
        running={isRunning && !props.err.attempt}
        trans={trans}
      />
    </>
  );
}

/** Which attempt's output is shown. */
function Choice(props: {
  task: ITaskView;
  attempt: number;
  onAttempt: (attempt: number) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { task, trans } = props;
  const words = stateWords(trans);
  return (
    <label className="jp-desipipe-section jp-desipipe-row">
      {trans.__('Output of')}
      <select
        value={props.attempt}
        onChange={event => props.onAttempt(Number(event.target.value))}
      >
        <option value={0}>{trans.__('the last attempt')}</option>
        {task.attempts
          .filter(({ current }) => !current)
          .map(({ attempt, state }) => (
            <option key={attempt} value={attempt}>
              {trans.__('attempt %1 (%2)', attempt, words[state])}
            </option>
          ))}
      </select>
    </label>
  );
}
