import { nullTranslator } from '@jupyterlab/translation';
import React, { act } from 'react';

import { IWorkersProps, Workers } from '../panel/components/workers';
import { IJobView, IQueueView, IWorkerView } from '../panel/tokens';
import { job, queueSummary, worker } from './example';
import { host, root } from './host';

describe('Workers', () => {
  let asked: unknown[];

  beforeEach(() => {
    asked = [];
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  function show(
    summary: Partial<IQueueView>,
    props: Partial<IWorkersProps> = {}
  ): void {
    act(() =>
      root.render(
        <Workers
          summary={queueSummary(summary)}
          open={true}
          onOpen={open => asked.push(open)}
          onEndWorker={({ name }) => asked.push(name)}
          onTask={({ tid }) => asked.push(tid)}
          trans={nullTranslator.load('desipipe')}
          {...props}
        />
      )
    );
  }

  const of = (workers: IWorkerView[], jobs: IJobView[] = []) => ({
    workers,
    jobs,
    n_workers: workers.length,
    n_jobs: jobs.length
  });
  /** What a person reads: a line for each worker, job, and task of a worker. */
  const lines = () =>
    [...host.querySelectorAll('.jp-desipipe-row, ul > .jp-desipipe-note')].map(
      node =>
        [...(node.querySelector('.jp-desipipe-flow') ?? node).childNodes]
          .map(child => child.textContent)
          .join(' ')
    );
  const heading = () => host.querySelector('h3')!.textContent;
  const click = (selector: string) =>
    act(() => host.querySelector<HTMLElement>(selector)!.click());

  it('tells what a worker uses', () => {
    show(of([worker({ cpu: 3.72, memory: 2e9 })]));
    expect(lines()[0]).toBe('slurm 4411_2 nid1 · 3.7 CPUs · 2.0 GB');
    show(of([worker({ cpu: 0.96 })]));
    expect(lines()[0]).toBe('slurm 4411_2 nid1 · 1 CPU');
  });

  it('tells of processes of this machine', () => {
    show(
      of([
        worker({ job: 'local:5fe0', slots: 4 }),
        worker({ name: 'b', job: '', pid: 77, running: 0, tasks: [] }),
        worker({ name: 'c', job: 'local:1', alive: false }),
        worker({ name: 'd', job: 'local:2', stopping: true })
      ])
    );
    expect(heading()).toBe('▾ Workers 4 · 7 slots');
    expect(lines().filter(line => !line.includes('power'))).toEqual([
      'local 5fe0 nid1',
      'process 77 nid1 · idle',
      'local 1 nid1 · lost',
      'local 2 nid1 · stopping'
    ]);
  });

  it('tells of jobs: index, node, state and reason, time left; also of those without a worker', () => {
    show({
      time: 1000,
      ...of(
        [
          worker({ job: '4411_2', tasks: [] }),
          worker({ name: 'b', job: '4411_4', tasks: [] }),
          worker({ name: 'c', job: '99', tasks: [] })
        ],
        [
          job({ job: '4411_2', ends: 1000 + 41 * 60 + 30, workers: ['a'] }),
          job({ job: '4411_3', state: 'pending', reason: 'Priority' }),
          job({ job: '4411_4', reason: 'completing', workers: ['b'] }),
          job({ job: '4411_5', state: 'pending', slots: 1 }),
          job({ job: '4411_6', node: 'nid7', ends: 1000 + 7800 }),
          job({ job: '4411_7', state: 'withdrawn', reason: 'Priority' }),
          job({ job: '99', ends: 1030, workers: ['c'] })
        ]
      )
    });
    expect(heading()).toBe('▾ Workers 3 · 3 slots · 2 jobs pending');
    expect(lines()).toEqual([
      'slurm 4411_2 nid1 · 41 min left',
      'slurm 4411_4 nid1 · completing',
      'slurm 99 nid1 · 30 s left',
      'slurm 4411_3 pending (Priority) · 8 slots',
      'slurm 4411_5 pending · 1 slot',
      'slurm 4411_6 nid7 · starting · 8 slots · 2 h 10 min left',
      'slurm 4411_7 withdrawn · 8 slots'
    ]);
  });

  it('says why a task waits while there is no worker', () => {
    show(of([], [job({ state: 'pending', reason: 'QOSMaxJobsPerUserLimit' })]));
    expect(heading()).toBe('▾ Workers none · 1 job pending');
    expect(lines()[0]).toContain('pending (QOSMaxJobsPerUserLimit)');
  });

  it('counts time that is left down by itself, by the clock of the server', () => {
    jest.useFakeTimers();
    const jobs = [job({ ends: 5000 + 600, workers: ['a'] })];
    show({ time: 5000, ...of([worker({ job: '4411_2', tasks: [] })], jobs) });
    expect(lines()[0]).toContain('10 min left');
    act(() => jest.advanceTimersByTime(121_000));
    expect(lines()[0]).toContain('8 min left');
    act(() => jest.advanceTimersByTime(600_000));
    expect(lines()[0]).toContain('time is up');
  });

  it('has no clock where nothing is left to count, or nobody looks', () => {
    jest.useFakeTimers();
    show(of([worker()], [job()]));
    expect(jest.getTimerCount()).toBe(0);
    show(of([worker()], [job({ ends: 5000 })]), { open: false });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('shows the first of hundreds, and more on request', () => {
    const jobs = Array.from({ length: 400 }, (_, i) =>
      job({ job: `8_${i}`, state: 'pending', reason: 'Resources' })
    );
    const tasks = Array.from({ length: 12 }, (_, i) => ({
      tid: `t${i}`,
      name: 'f',
      index: i,
      since: null,
      superseded: false
    }));
    show({ ...of([worker({ job: '7', tasks })], jobs), n_jobs: 900 });
    expect(heading()).toBe('▾ Workers 1 · 1 slot · 400+ jobs pending');
    expect(host.querySelectorAll('[data-tid]').length).toBe(8);
    expect(host.querySelectorAll('[data-job]').length).toBe(21);
    expect(lines()).toContain('4 more…');
    expect(lines().slice(-1)).toEqual(['880 more…']);
    click('.jp-desipipe-workers > .jp-desipipe-note button');
    expect(host.querySelectorAll('[data-job]').length).toBe(61);
    for (let i = 0; i < 9; i++) {
      click('.jp-desipipe-workers > .jp-desipipe-note button');
    }
    expect(host.querySelectorAll('[data-job]').length).toBe(401);
    expect(lines().slice(-1)).toEqual(['and 500 more']);
  });

  it('opens tasks, ends workers, folds', () => {
    show(of([worker({ name: 'w', stopping: false })]));
    click('[data-tid] button');
    click('button[aria-label="Stop worker slurm 4411_2"]');
    click('h3 button');
    expect(asked).toEqual(['abc', 'w', false]);
    expect(host.querySelector('h3 button')!.getAttribute('aria-expanded')).toBe(
      'true'
    );
    show(of([worker()]), { open: false });
    expect(lines()).toEqual([]);
    expect(heading()).toBe('▸ Workers 1 · 1 slot');
  });
});
