/**
 * Sections of the page of a task: its arguments, attempts, relatives, and details.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { stateWords } from '../../components/status';
import { bytes, duration, moment, number } from '../../format';
import { SYMBOLS } from '../../tokens';
import { shown } from '../log';
import { IAttemptView, ITaskView, ITaskLabel, label } from '../tokens';
import { Link, shownState, StateSymbol } from './bits';

/** Properties of the sections. */
export interface ISectionProps {
  task: ITaskView;
  /** Name of its queue. */
  queue: string;
  onTask: (task: ITaskLabel) => void;
  onQueue: () => void;
  trans: TranslationBundle;
}

/** The arguments, as text. */
export function Arguments({ task, trans }: ISectionProps): JSX.Element | null {
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

/** What it returned, in few words. */
export function Result({ task, trans }: ISectionProps): JSX.Element | null {
  return task.preview ? (
    <section className="jp-desipipe-section" aria-label={trans.__('Result')}>
      <h3>
        {trans.__('Result')}{' '}
        <span className="jp-desipipe-aside">
          {[
            task.result === null ? '' : bytes(task.result, trans),
            task.state === 'SUCCEEDED'
              ? ''
              : trans.__(
                  'of an earlier attempt; stays until the new one is there'
                )
          ]
            .filter(part => part)
            .join(' · ')}
        </span>
      </h3>
      <pre className="jp-desipipe-code" tabIndex={0}>
        {shown(task.preview)}
      </pre>
    </section>
  ) : null;
}

/** All attempts that ended. */
export function Attempts({ task, trans }: ISectionProps): JSX.Element | null {
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
              <th scope="col">{trans.__('Memory')}</th>
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
  attempt: IAttemptView;
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
      <td className="jp-desipipe-right">
        {attempt.memory ? bytes(attempt.memory, trans) : ''}
      </td>
      <td>{attempt.host}</td>
      <td>{attempt.job}</td>
      <td>{shown(attempt.cause)}</td>
    </tr>
  );
}

/** Tasks that it depends on, or that use it. */
export function Related(
  props: ISectionProps & {
    title: string;
    tasks: ITaskView['requires'];
    /** How many there are: those that count, and superseded ones of which the last of `tasks` are. */
    n: number;
    superseded?: number;
  }
): JSX.Element | null {
  const { tasks, n, superseded = 0, trans } = props;
  const some = tasks.slice(0, n);
  return n || superseded ? (
    <section className="jp-desipipe-section" aria-label={props.title}>
      <h3>
        {props.title} <span className="jp-desipipe-aside">{number(n)}</span>
      </h3>
      <RelatedList {...props} tasks={some} />
      {superseded > 0 && (
        <details>
          <summary className="jp-desipipe-aside">
            {SYMBOLS.SUPERSEDED} {trans.__('%1 superseded', number(superseded))}
          </summary>
          <RelatedList {...props} tasks={tasks.slice(n)} n={superseded} />
        </details>
      )}
    </section>
  ) : null;
}

function RelatedList({
  tasks,
  n,
  onTask,
  trans
}: Pick<ISectionProps, 'onTask' | 'trans'> & {
  tasks: ITaskView['requires'];
  n: number;
}): JSX.Element {
  const words = stateWords(trans);
  return (
    <ul className="jp-desipipe-related">
      {tasks.map(task => (
        <li key={task.tid}>
          <StateSymbol state={shownState(task)} />{' '}
          <Link title={words[shownState(task)]} onClick={() => onTask(task)}>
            {label(task)}
          </Link>
        </li>
      ))}
      {n > tasks.length && (
        <li>{trans.__('and %1 more', number(n - tasks.length))}</li>
      )}
    </ul>
  );
}

/** All that is known besides. */
export function Details(props: ISectionProps): JSX.Element {
  const { task, trans } = props;
  const when = (time: number | null) => (time === null ? '' : moment(time));
  const versions = Object.entries(task.versions).map(
    ([name, version]) => `${name} ${version}`
  );
  const details: [string, React.ReactNode][] = [
    [trans.__('Queue'), <Link onClick={props.onQueue}>{props.queue}</Link>],
    [trans.__('Identity'), <Copied text={task.tid} trans={trans} />],
    [trans.__('Added'), when(task.added)],
    [trans.__('Began'), when(task.began)],
    [
      trans.__('Took'),
      task.duration === null ? '' : duration(task.duration, trans)
    ],
    [trans.__('Memory'), task.memory ? bytes(task.memory, trans) : ''],
    [peersTitle(task, trans), peersText(task, trans)],
    [trans.__('Added by'), task.user ?? ''],
    [trans.__('Run by'), task.ran_by ?? ''],
    [trans.__('Host'), task.host],
    [trans.__('Job'), task.job],
    [
      trans.__('Result'),
      task.result === null || task.preview ? '' : bytes(task.result, trans)
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
    [trans.__('Versions'), versions.join(', ')],
    [trans.__('Files'), task.n_files > 0 && <Files task={task} trans={trans} />]
  ];
  return (
    <section className="jp-desipipe-section" aria-label={trans.__('Details')}>
      <h3>{trans.__('Details')}</h3>
      <dl className="jp-desipipe-facts-list">
        {details
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

/** The files that its last attempt read and wrote. */
function Files({
  task,
  trans
}: Pick<ISectionProps, 'task' | 'trans'>): JSX.Element {
  const words = { read: trans.__('read'), write: trans.__('wrote') };
  return (
    <>
      {task.files.map(file => (
        <div key={`${file.do} ${file.path}`}>
          {words[file.do]} <code>{shown(file.path)}</code>
          {file.size !== null && ` (${bytes(file.size, trans)})`}
        </div>
      ))}
      {task.n_files > task.files.length &&
        trans.__('and %1 more', number(task.n_files - task.files.length))}
    </>
  );
}

function peersTitle({ name }: ITaskView, trans: TranslationBundle): string {
  return trans.__('Other tasks of %1', name);
}

/** `median 3.2 s (0.5 s to 8 s), 120 MB, of 20 tasks`. */
function peersText({ peers }: ITaskView, trans: TranslationBundle): string {
  if (!peers) {
    return '';
  }
  const { median, least, most, memory, n } = peers;
  return [
    trans.__(
      'median %1 (%2 to %3)',
      ...[median, least, most].map(time => duration(time, trans))
    ),
    memory ? bytes(memory, trans) : '',
    trans._n('of %2 task', 'of %2 tasks', n, number(n))
  ]
    .filter(part => part)
    .join(', ');
}

/** Text with a button that copies it. */
function Copied({
  text,
  trans
}: {
  text: string;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <>
      <code>{text}</code>{' '}
      <Link
        title={trans.__('Copy to the clipboard')}
        onClick={() => void navigator.clipboard.writeText(text)}
      >
        {trans.__('Copy')}
      </Link>
    </>
  );
}
