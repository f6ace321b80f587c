/**
 * Small things that several places of the panel show.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { clock, number } from '../../format';
import {
  Condition,
  CONDITION_SYMBOLS,
  Shown,
  STATES,
  SYMBOLS,
  TARGETS
} from '../../tokens';
import type { IListedQueue, ITaskRow } from '../tokens';

/** How a state or a condition looks; those who can't see it have the words beside it. */
export function Symbol({ text }: { text: string }): JSX.Element {
  return (
    <span className="jp-desipipe-symbol" aria-hidden="true">
      {text}
    </span>
  );
}

/** The state under which a task is shown. */
export function shownState(
  task: Pick<ITaskRow, 'state' | 'blocked' | 'superseded'>
): Shown {
  if (task.superseded) {
    return 'SUPERSEDED';
  }
  return task.state === 'WAITING' && task.blocked ? 'BLOCKED' : task.state;
}

/** Whether a task can be asked to run again: it has ended, and counts. */
export function canRunAgain(
  task: Pick<ITaskRow, 'state' | 'superseded'>
): boolean {
  return (
    !task.superseded &&
    (task.state === 'SUCCEEDED' ||
      (TARGETS.retry as readonly string[]).includes(task.state))
  );
}

/** Whether running a task again computes a result that is there already. */
export function isRunAgain(task: Pick<ITaskRow, 'state'> | undefined): boolean {
  return task?.state === 'SUCCEEDED';
}

/** Whether a task can be cancelled: it runs, or will run. */
export function canCancel(
  task: Pick<ITaskRow, 'state' | 'superseded'>
): boolean {
  return (
    (TARGETS.cancel as readonly string[]).includes(task.state) &&
    (!task.superseded || task.state === 'RUNNING')
  );
}

/** Symbol of a state. */
export function StateSymbol({ state }: { state: Shown }): JSX.Element {
  return (
    <span data-state={state}>
      <Symbol text={SYMBOLS[state] ?? '–'} />
    </span>
  );
}

/** What queues as a whole are doing, for people. */
export function conditionWords(
  trans: TranslationBundle
): Record<Condition | 'unreadable', string> {
  return {
    empty: trans.__('no tasks'),
    running: trans.__('running'),
    paused: trans.__('paused'),
    stopped: trans.__('no worker'),
    failed: trans.__('failed'),
    done: trans.__('done'),
    unreadable: trans.__('not readable')
  };
}

/** Symbol of a condition. */
export function conditionSymbol(condition: Condition | 'unreadable'): string {
  return condition === 'unreadable' ? '⚠' : CONDITION_SYMBOLS[condition];
}

/** How many of a queue's tasks did not succeed. */
export function bad(line: IListedQueue): number {
  const { FAILED = 0, KILLED = 0, UNKNOWN = 0 } = line.counts ?? {};
  return FAILED + KILLED + UNKNOWN;
}

/** How far a queue is. */
export function Bar({
  line,
  trans
}: {
  line: IListedQueue;
  trans: TranslationBundle;
}): JSX.Element {
  const done = line.counts.SUCCEEDED ?? 0;
  const total = Math.max(line.total, 1);
  return (
    <div
      className="jp-desipipe-bar"
      role="progressbar"
      aria-label={line.queue}
      aria-valuemin={0}
      aria-valuemax={line.total}
      aria-valuenow={done}
      aria-valuetext={trans.__(
        '%1 of %2 tasks succeeded',
        number(done),
        number(line.total)
      )}
    >
      {STATES.slice(0, 5).map(state => (
        <span
          key={state}
          data-state={state}
          style={{ width: `${(100 * (line.counts[state] ?? 0)) / total}%` }}
        />
      ))}
    </div>
  );
}

/** `about 14:07 left`, as under the cell. */
export function left(eta: number, trans: TranslationBundle): string {
  return trans.__('about %1 left', clock(eta, trans));
}

/** Something is wrong, and what it means. */
export function Banner({
  children,
  action
}: {
  children: React.ReactNode;
  action?: React.ReactNode;
}): JSX.Element {
  return (
    <div className="jp-desipipe-banner" role="alert">
      <Symbol text="⚠" />
      <div>{children}</div>
      {action}
    </div>
  );
}

/** Put focus-able words that do something among others. */
export function Link(props: {
  onClick: () => void;
  title?: string;
  children: React.ReactNode;
}): JSX.Element {
  return (
    <button
      type="button"
      className="jp-desipipe-link"
      title={props.title}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}

/** Why a queue of another user may only be looked at; empty where it may be used. */
export function refusal(
  untrusted: string | undefined,
  trans: TranslationBundle
): string {
  return untrusted
    ? trans.__(
        'This queue belongs to user %1, whom you do not trust. Nothing of it runs. To use it, type in a terminal: desipipe trust %1',
        untrusted
      )
    : '';
}
