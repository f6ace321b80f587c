import { nullTranslator } from '@jupyterlab/translation';
import React, { act } from 'react';

import { IStatusProps, Status } from '../components/status';
import { moment } from '../format';
import { ICellView } from '../tokens';
import { done, example } from './example';
import { host, root } from './host';

describe('Status', () => {
  let acted: string[];

  beforeEach(() => {
    acted = [];
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  function show(summary: ICellView, props: Partial<IStatusProps> = {}): void {
    act(() =>
      root.render(
        <Status
          summary={summary}
          received={performance.now()}
          ticking={false}
          stale={false}
          acting={null}
          problem=""
          open={false}
          onAct={action => acted.push(action)}
          onToggle={() => acted.push('details')}
          trans={nullTranslator.load('desipipe')}
          {...props}
        />
      )
    );
  }

  function button(name: string): HTMLButtonElement | null {
    return host.querySelector(`button[aria-label="${name}"]`);
  }

  const texts = (selector: string) =>
    [...host.querySelectorAll(selector)].map(node => node.textContent);

  it('says which tasks of other cells block those of this one', () => {
    const blocked = {
      condition: 'failed',
      total: 1,
      counts: { WAITING: 1 },
      blocked: 1,
      left: 0,
      failure: null
    } as const;
    const { tid, name, state, cause } = example().failure!;
    const causes = [{ tid, name, index: 3, state, cause, count: 1 }];
    show({ ...example(), ...blocked, causes });
    expect(texts('.jp-desipipe-blocked')).toEqual([
      '‖ 1 task blocked by fraction[3] (failed): ValueError: size must be positive'
    ]);
  });

  it('counts what is superseded apart', () => {
    show({ ...example(), superseded: 3 });
    expect(texts('.jp-desipipe-count')).toContain('↷ 3 superseded');
    const counts = Object.fromEntries(
      Object.keys(example().counts).map(state => [state, 0])
    );
    show({
      ...example(),
      condition: 'empty',
      total: 0,
      counts,
      left: 0,
      failure: null,
      superseded: 20
    });
    expect(texts('.jp-desipipe-count')).toEqual(['↷ 20 superseded']);
    expect(host.textContent).not.toContain('no tasks');
  });

  it('shows how far the tasks are', () => {
    show(example());
    expect(host.textContent).toContain('fraction');
    expect(host.textContent).toContain('13/20');
    expect(texts('.jp-desipipe-count')).toEqual(['● 4 running', '✕ 1 failed']);
    expect(host.textContent).toContain('about 0:08 left');
    const bar = host.querySelector('[role="progressbar"]')!;
    expect(bar.getAttribute('aria-valuenow')).toBe('13');
    expect(bar.getAttribute('aria-valuemax')).toBe('20');
    expect(bar.getAttribute('aria-valuetext')).toBe('13 of 20 tasks succeeded');
    expect(
      [...bar.querySelectorAll<HTMLElement>('span')]
        .filter(part => part.style.width !== '0%')
        .map(part => [part.dataset.state, part.style.width])
    ).toEqual([
      ['SUCCEEDED', '65%'],
      ['FAILED', '5%'],
      ['RUNNING', '20%']
    ]);
  });

  it('shows the first error, and where it came from', () => {
    show(example());
    expect(texts('.jp-desipipe-failure')).toEqual([
      '⚠ 1 failed: ValueError: size must be positive (cell line 4)'
    ]);
  });

  it('shows that failures have several causes, and which is the first', () => {
    const failing = (...kinds: [string, number][]) => {
      const failure = {
        ...example().failure!,
        kinds: kinds.map(([kind, count]) => ({ kind, count }))
      };
      show(example({ counts: { SUCCEEDED: 6, FAILED: 14 }, failure }));
      return texts('.jp-desipipe-failure');
    };
    const first = 'first fraction[3]: ValueError: size must be positive';
    expect(failing(['ValueError', 14])).toEqual([
      `⚠ 14 failed, ${first} (cell line 4)`
    ]);
    expect(failing(['ValueError', 13], ['KeyError', 1])).toEqual([
      `⚠ 14 failed (ValueError × 13, KeyError × 1), ${first} (cell line 4)`
    ]);
  });

  it('shows what others did to tasks, and what they block', () => {
    show(
      example({
        counts: { SUCCEEDED: 1, KILLED: 1200, UNKNOWN: 1, WAITING: 3 },
        blocked: 3,
        total: 1205,
        condition: 'stopped'
      })
    );
    expect(texts('.jp-desipipe-count')).toEqual([
      `⊘ ${(1200).toLocaleString()} killed`,
      '? 1 unknown',
      '‖ 3 blocked'
    ]);
    expect(texts('.jp-desipipe-condition')).toEqual(['■ no worker']);
  });

  it('says what to do where nothing goes on by itself', () => {
    const advice: [string, string][] = [
      ['to start workers', 'desipipe spawn -q test']
    ];
    show(example({ condition: 'stopped', advice }));
    expect(texts('.jp-desipipe-note')).toEqual([
      '→ to start workers: %desipipe spawn -q test'
    ]);
    show(example({ advice }));
    expect(texts('.jp-desipipe-note')).toEqual([]);
  });

  it('tells a screen reader of failures and of the end, not of each step', () => {
    const said = () => texts('[role="status"]');
    show(example({ counts: { RUNNING: 20 }, failure: null }));
    expect(said()).toEqual(['']);
    show(example());
    expect(said()).toEqual(['1 task did not succeed']);
    show(done());
    expect(said()).toEqual(['All tasks succeeded']);
  });

  it('is quiet when all is well', () => {
    show(done());
    expect(texts('.jp-desipipe-facts')).toEqual([
      '✓ 20 tasks · 25.0 s on 2 workers, 4 slots'
    ]);
    expect(host.querySelector('[role="progressbar"]')).toBe(null);
    expect(button('Retry')).toBe(null);
    expect(button('Cancel')).toBe(null);
    expect(button('Details')).not.toBe(null);
  });

  it('starts workers where none is running, and resumes what is paused', () => {
    const start = () => host.querySelector<HTMLButtonElement>('[data-action]');
    show(example());
    expect(start()).toBe(null);
    for (const condition of ['stopped', 'paused'] as const) {
      show(example({ condition }));
      act(() => start()!.click());
    }
    expect(acted).toEqual(['start', 'resume']);
    show(example({ condition: 'stopped' }), { stale: true });
    expect(start()).toBe(null);
    show(example({ condition: 'stopped', untrusted: 'alice' }));
    expect(start()!.disabled).toBe(true);
  });

  it('tells of jobs, and why no worker comes, as the text does', () => {
    const pending = { state: 'pending', running: 0, tasks: [], ends: null };
    const first = { tid: 'a', name: 'fraction', index: 3 };
    const jobs = [
      {
        ...{ ...pending, job: '48_0', state: 'running', reason: '' },
        ...{ node: 'n1', ends: 1540, running: 1, tasks: [first] }
      },
      { ...pending, job: '48_1', reason: 'Resources', node: '' }
    ];
    const group = { reason: '', n: 1, nodes: 1, running: 1, ends: null };
    const job_groups = [
      { ...group, state: 'running', ends: [1540, 1540] as [number, number] },
      { ...group, state: 'pending', reason: 'Resources', running: 0, nodes: 0 }
    ];
    const notes = () => texts('.jp-desipipe-note');
    show(example({ time: 1000, jobs, n_jobs: 2, job_groups }));
    expect(notes()).toEqual([
      '2 jobs: 48_0 running fraction[3] on n1 (9 min left), 48_1 pending (Resources)'
    ]);
    job_groups[1].n = 36;
    show(example({ time: 1000, jobs, n_jobs: 37, job_groups }));
    expect(notes()).toEqual([
      '37 jobs: 1 running 1 task on 1 node (9 min left), 36 pending (Resources)'
    ]);
    show(example({ jobs: [], job_groups: [job_groups[1]] }));
    expect(notes()).toEqual(['36 jobs pending (Resources)']);
    show(example({ refused: 'Slurm refuses the account <b>x</b>.' }));
    expect(texts('[role="alert"]')).toEqual([
      'Slurm refuses the account <b>x</b>.'
    ]);
  });

  it('says when results were there already', () => {
    show(
      done({ cached: true, computed: Date.now() / 1000 - 7200, workers: 0 })
    );
    expect(texts('.jp-desipipe-quiet')).toEqual([
      '✓ 20 tasks · cached (computed 2 hours ago)'
    ]);
  });

  it('counts down between two updates, while someone looks and not else', () => {
    jest.useFakeTimers();
    const received = performance.now();
    const eta = () =>
      /about (\S+)/.exec(texts('.jp-desipipe-clocks')[0] ?? '')?.[1];
    const summary = example();
    show(summary, { received, ticking: true });
    expect(eta()).toBe('0:08');
    act(() => void jest.advanceTimersByTime(3000));
    expect(eta()).toBe('0:05');
    expect(host.textContent).toContain('0:20');
    act(() => void jest.advanceTimersByTime(60_000));
    expect(eta()).toBe('to'); // it is about to end: there is nothing to count down
    show(summary, { received, ticking: false });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('says since when it does not know', () => {
    show(example({ time: 1000 }), { stale: true });
    expect(host.textContent).toContain(`as of ${moment(1000)}`);
    expect(host.textContent).not.toContain('ETA');
    expect(button('Retry') ?? button('Cancel')).toBe(null);
  });

  it('has buttons for what can be done', () => {
    show(example());
    button('Retry')!.click();
    button('Cancel')!.click();
    button('Details')!.click();
    expect(acted).toEqual(['retry', 'cancel', 'details']);
    show(example({ counts: { RUNNING: 20 }, failure: null }));
    expect(button('Retry')).toBe(null);
    show(example({ condition: 'failed', left: 0 }));
    expect(button('Cancel')).toBe(null);
  });

  it('takes one action at a time', () => {
    show(example(), { acting: 'retry' });
    expect(button('Retry')!.disabled).toBe(true);
    expect(button('Cancel')!.disabled).toBe(true);
    expect(button('Details')!.disabled).toBe(false);
  });

  it('says why an action did not work', () => {
    show(example(), { problem: 'It does not work.' });
    expect(texts('[role="alert"]')).toEqual(['It does not work.']);
  });

  it('shows details when asked for', () => {
    show(
      example({
        causes: [
          {
            tid: 'cd',
            name: 'load',
            index: 2,
            state: 'FAILED',
            cause: 'OSError: gone',
            count: 3
          }
        ],
        advice: [['start workers', 'desipipe spawn -q test']]
      }),
      { open: true }
    );
    expect(button('Details')!.getAttribute('aria-expanded')).toBe('true');
    const details = host.querySelector('.jp-desipipe-details')!.textContent;
    expect(details).toContain('load[2]: OSError: gone (3)');
    expect(details).toContain('desipipe spawn -q test');
    expect(details).toContain('/queues/test.queue');
    expect(details).toContain('○ 2 pending');
  });

  it('shows text as text', () => {
    const failure = example().failure!;
    show(
      example({
        title: '<img src=x>',
        failure: { ...failure, cause: '<b>x</b>' }
      })
    );
    expect(host.querySelector('img')).toBe(null);
    expect(host.textContent).toContain('<b>x</b>');
  });

  it('touches only what changed', () => {
    const summary = example();
    show(summary);
    const before = [...host.querySelectorAll('*')];
    const records: MutationRecord[] = [];
    const observer = new MutationObserver(found => records.push(...found));
    observer.observe(host, {
      attributes: true,
      characterData: true,
      childList: true,
      subtree: true
    });
    show({ ...summary, time: summary.time + 1 });
    records.push(...observer.takeRecords());
    expect(records).toEqual([]);
    show({
      ...summary,
      counts: { ...summary.counts, SUCCEEDED: 14, PENDING: 1 }
    });
    records.push(...observer.takeRecords());
    observer.disconnect();
    expect(records.length).toBeGreaterThan(0);
    expect(records.length).toBeLessThan(6);
    expect([...host.querySelectorAll('*')]).toEqual(before);
  });

  it('names the member of a group whose outputs are shown as text', () => {
    const trusted = jest.fn();
    const output = {
      output_type: 'display_data',
      data: { 'text/plain': 'x' },
      metadata: { desipipe: { untrusted: 'bob' } }
    };
    show(example({ outputs: [output] }), { onTrust: trusted });
    const shown = host.querySelector<HTMLButtonElement>(
      'button[data-command="trust"]'
    );
    expect(shown?.textContent).toBe('Trust bob…');
    act(() => shown?.click());
    expect(trusted).toHaveBeenCalledTimes(1);
    show(example({ outputs: [{ ...output, metadata: {} }] }), {
      onTrust: trusted
    });
    expect(host.querySelector('button[data-command="trust"]')).toBe(null);
  });
});
