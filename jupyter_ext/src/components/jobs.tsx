/**
 * Jobs of a batch system under a cell, and why no worker comes: the same words as in the text of the display (`desipipe.view.text.jobs_text`).
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { number, timeLeft } from '../format';
import type { IJobView, ICellView, IJobGroup } from '../tokens';

/** Jobs that are named one by one; of more, those of each state and reason are counted. */
const NAMED = 3;
/** States and reasons that are told apart. */
const GROUPED = 4;

/** The jobs in a line, and what keeps workers from coming. */
export function Jobs({
  summary,
  trans
}: {
  summary: ICellView;
  trans: TranslationBundle;
}): JSX.Element {
  const words = jobsText(summary, trans);
  return (
    <>
      {words && <div className="jp-desipipe-note">{words}</div>}
      {summary.refused && (
        <div className="jp-desipipe-problem" role="alert">
          {summary.refused}
        </div>
      )}
    </>
  );
}

/** `2 jobs: 48_0 running fraction[3] on n1 (9 min left), 48_1 pending (Resources)`; empty if there are none. */
export function jobsText(
  { jobs, job_groups: groups, time }: ICellView,
  trans: TranslationBundle
): string {
  const total = groups.reduce((sum, group) => sum + group.n, 0);
  if (!total) {
    return '';
  }
  const count = trans._n('%2 job', '%2 jobs', total, number(total));
  if (total <= Math.min(NAMED, jobs.length)) {
    const each = jobs.map(job => jobText(job, time, trans));
    return `${count}: ${each.join(', ')}`;
  }
  if (groups.length === 1) {
    return `${count} ${groupText(groups[0], time, trans)}`;
  }
  const parts = groups
    .slice(0, GROUPED)
    .map(group => `${number(group.n)} ${groupText(group, time, trans)}`);
  const rest = groups.slice(GROUPED).reduce((sum, group) => sum + group.n, 0);
  if (rest) {
    parts.push(trans.__('%1 others', number(rest)));
  }
  return `${count}: ${parts.join(', ')}`;
}

function jobText(job: IJobView, now: number, trans: TranslationBundle): string {
  const [first] = job.tasks;
  const rest = job.running - 1;
  const left =
    job.state === 'running' && job.ends !== null
      ? timeLeft(job.ends - now, trans)
      : '';
  return joined(
    job.job,
    job.state,
    first ? `${first.name}[${first.index}]` : '',
    first && rest > 0 ? trans.__('and %1 more', number(rest)) : '',
    job.node ? trans.__('on %1', job.node) : '',
    job.cluster ? trans.__('in cluster %1', job.cluster) : '',
    inBrackets(job.reason, left)
  );
}

function groupText(
  group: IJobGroup,
  now: number,
  trans: TranslationBundle
): string {
  const { running, nodes, ends } = group;
  const times = [
    ...new Set((ends ?? []).map(end => timeLeft(end - now, trans)))
  ];
  const suffix = trans.__('%1 left', '');
  const span = times.map((time, i) =>
    i < times.length - 1 && time.endsWith(suffix)
      ? time.slice(0, -suffix.length)
      : time
  );
  return joined(
    group.state,
    running ? trans._n('%2 task', '%2 tasks', running, number(running)) : '',
    nodes ? trans._n('on %2 node', 'on %2 nodes', nodes, number(nodes)) : '',
    inBrackets(group.reason, span.join(trans.__(' to ')))
  );
}

function joined(...parts: string[]): string {
  return parts.filter(part => part).join(' ');
}

function inBrackets(...parts: string[]): string {
  const words = parts.filter(part => part).join(', ');
  return words && `(${words})`;
}
