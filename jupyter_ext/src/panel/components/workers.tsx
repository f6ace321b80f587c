/**
 * Who runs the tasks of a queue: workers, and jobs of a batch system that have none yet.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { ago, bytes, moment, number, processors, timeLeft } from '../../format';
import {
  IJobView,
  IQueueView,
  ITaskLabel,
  IWorkerView,
  label
} from '../tokens';
import { Link, StateSymbol, Symbol } from './bits';

/** How many are shown at first, and more each time someone asks: workers, jobs, tasks of a worker. */
const WORKERS = 50;
const JOBS = 20;
const TASKS = 8;

/** ms between two looks at the clock: what is left is told by the minute. */
const PACE = 10_000;

/** Properties of {@link Workers}. */
export interface IWorkersProps {
  summary: IQueueView;
  /** Whether they are shown, or only how many there are. */
  open: boolean;
  /** Why none may be ended; empty if that may be done. */
  refused?: string;
  onOpen: (open: boolean) => void;
  onEndWorker: (worker: IWorkerView) => void;
  onTask: (task: ITaskLabel) => void;
  trans: TranslationBundle;
}

/** Those who run tasks now, then those who will. */
export function Workers(props: IWorkersProps): JSX.Element {
  const { summary, open, trans } = props;
  const { workers, jobs } = summary;
  const waiting = jobs.filter(job => !job.workers.length);
  const byJob = new Map(jobs.map(job => [job.job, job]));
  const now = useClock(summary, open && jobs.some(job => job.ends !== null));
  return (
    <section className="jp-desipipe-section" aria-label={trans.__('Workers')}>
      <h3>
        <button
          type="button"
          className="jp-desipipe-toggle"
          aria-expanded={open}
          onClick={() => props.onOpen(!open)}
        >
          <Symbol text={open ? '▾' : '▸'} /> {trans.__('Workers')}{' '}
          <span className="jp-desipipe-aside">{numbers(summary, trans)}</span>
        </button>
      </h3>
      {open && (
        // Jobs that wait have nothing in them that takes the focus: the list does, so that keys scroll it.
        <ul
          className="jp-desipipe-workers"
          tabIndex={0}
          aria-label={trans.__('Workers')}
        >
          <Several
            items={workers}
            total={summary.n_workers}
            step={WORKERS}
            trans={trans}
          >
            {worker => (
              <Worker
                key={worker.name}
                {...props}
                worker={worker}
                job={byJob.get(worker.job)}
                now={now}
              />
            )}
          </Several>
          <Several
            items={waiting}
            total={waiting.length + summary.n_jobs - jobs.length}
            step={JOBS}
            trans={trans}
          >
            {job => <Job key={job.job} job={job} now={now} trans={trans} />}
          </Several>
        </ul>
      )}
    </section>
  );
}

/** `2 · 16 slots · 3 jobs pending`. */
function numbers(
  { workers, n_workers, jobs, n_jobs }: IQueueView,
  trans: TranslationBundle
): string {
  const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
  const pending = jobs.filter(job => job.state === 'pending').length;
  // Of very many the server tells only the first.
  const more = n_jobs > jobs.length ? '+' : '';
  return [
    workers.length ? number(n_workers) : trans.__('none'),
    workers.length && trans._n('%2 slot', '%2 slots', slots, number(slots)),
    pending &&
      trans._n(
        '%2 job pending',
        '%2 jobs pending',
        pending,
        `${number(pending)}${more}`
      )
  ]
    .filter(part => part)
    .join(' · ');
}

/** The time (s since the epoch) by the server's clock, which need not be that of this machine; of this moment if `ticking`. */
function useClock(summary: IQueueView, ticking: boolean): number {
  const received = React.useMemo(() => performance.now(), [summary]);
  const [, tick] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    const timer = ticking ? setInterval(tick, PACE) : undefined;
    return () => clearInterval(timer);
  }, [ticking]);
  return summary.time + (performance.now() - received) / 1000;
}

/** The first of many, and more of them when someone asks. */
function Several<T>(props: {
  items: readonly T[];
  /** How many there are; the server may have told fewer. */
  total: number;
  step: number;
  children: (item: T) => JSX.Element;
  trans: TranslationBundle;
}): JSX.Element {
  const { items, total, step, trans } = props;
  const [most, setMost] = React.useState(step);
  const rest = total - Math.min(most, items.length);
  return (
    <>
      {items.slice(0, most).map(props.children)}
      {rest > 0 && (
        <li className="jp-desipipe-note">
          {items.length > most ? (
            <Link onClick={() => setMost(most + 2 * step)}>
              {trans.__('%1 more…', number(rest))}
            </Link>
          ) : (
            trans.__('and %1 more', number(rest))
          )}
        </li>
      )}
    </>
  );
}

function Worker(
  props: IWorkersProps & {
    worker: IWorkerView;
    job: IJobView | undefined;
    now: number;
  }
): JSX.Element {
  const { worker, job, trans } = props;
  const name = jobName(worker.job, worker.pid, trans);
  const words = worker.stopping
    ? trans.__('stopping')
    : worker.alive === false
      ? trans.__('lost')
      : worker.running
        ? ''
        : trans.__('idle');
  return (
    <li className="jp-desipipe-worker" data-job={worker.job}>
      <div className="jp-desipipe-row">
        <Line
          name={name}
          title={trans.__(
            'process %1, since %2',
            worker.pid,
            ago(worker.since)
          )}
          parts={[
            worker.host,
            words,
            worker.claimed
              ? trans.__('%1 claimed', number(worker.claimed))
              : '',
            worker.cpu === null ? '' : processors(worker.cpu, trans),
            worker.memory === null ? '' : bytes(worker.memory, trans),
            worker.trouble,
            job && jobWords(job, trans),
            job && endOf(job, props.now, trans)
          ]}
        />
        <button
          type="button"
          className="jp-desipipe-icon"
          title={props.refused || trans.__('Stop this worker…')}
          aria-label={trans.__('Stop worker %1', name)}
          disabled={worker.stopping || !!props.refused}
          onClick={() => props.onEndWorker(worker)}
        >
          <closeIcon.react tag="span" height="14px" width="14px" />
        </button>
      </div>
      <ul>
        <Several
          items={worker.tasks}
          total={worker.tasks.length}
          step={TASKS}
          trans={trans}
        >
          {task => (
            <li
              key={task.tid}
              className="jp-desipipe-row jp-desipipe-running"
              data-tid={task.tid}
              data-shown={task.superseded ? 'SUPERSEDED' : 'RUNNING'}
            >
              <StateSymbol state={task.superseded ? 'SUPERSEDED' : 'RUNNING'} />
              <Link onClick={() => props.onTask(task)}>{label(task)}</Link>
              {task.since !== null && (
                <span className="jp-desipipe-more">
                  {trans.__('since %1', moment(task.since, 'short'))}
                </span>
              )}
            </li>
          )}
        </Several>
      </ul>
    </li>
  );
}

/** A job in which no worker has begun. */
function Job({
  job,
  now,
  trans
}: {
  job: IJobView;
  now: number;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <li className="jp-desipipe-worker" data-job={job.job}>
      <div className="jp-desipipe-row">
        <Line
          name={jobName(job.job, 0, trans)}
          parts={[
            job.node,
            job.cluster && trans.__('in cluster %1', job.cluster),
            jobWords(job, trans) || trans.__('starting'),
            trans._n('%2 slot', '%2 slots', job.slots, number(job.slots)),
            endOf(job, now, trans)
          ]}
        />
      </div>
    </li>
  );
}

/** A name and what is known besides; where there is little room, line by line. */
function Line(props: {
  name: string;
  title?: string;
  parts: (string | undefined)[];
}): JSX.Element {
  const parts = props.parts.filter(part => part);
  return (
    <span className="jp-desipipe-flow" title={props.title}>
      <span className="jp-desipipe-name">{props.name}</span>
      {parts.map((part, i) => (
        <span key={i} className="jp-desipipe-aside">
          {part}
          {i < parts.length - 1 && ' ·'}
        </span>
      ))}
    </span>
  );
}

/** `slurm 4411_2`: numbers, with an index in an array, are Slurm's; `local 5fe0` of a manager of this machine; else the process that someone began. */
function jobName(job: string, pid: number, trans: TranslationBundle): string {
  if (!job) {
    return trans.__('process %1', pid);
  }
  return /^\d+(_\d+)?$/.test(job)
    ? trans.__('slurm %1', job)
    : job.replace(':', ' ');
}

/** `pending (Priority)`; empty where there is nothing to say but that it runs. */
function jobWords(job: IJobView, trans: TranslationBundle): string {
  const { state, reason } = job;
  if (state === 'withdrawn') {
    return trans.__('withdrawn');
  }
  if (state === 'running') {
    return reason;
  }
  return reason ? trans.__('pending (%1)', reason) : trans.__('pending');
}

/** `41 min left`; empty where nobody knows. */
function endOf(job: IJobView, now: number, trans: TranslationBundle): string {
  return job.ends === null ? '' : timeLeft(job.ends - now, trans);
}
