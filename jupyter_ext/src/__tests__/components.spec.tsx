import { nullTranslator } from '@jupyterlab/translation';
import React, { act } from 'react';

import { ILog, LogView } from '../panel/components/logview';
import { IQueueListProps, QueueList } from '../panel/components/queuelist';
import type { IQueueViewProps } from '../panel/components/queueprops';
import { QueueView } from '../panel/components/queueview';
import { ITaskListProps, TaskList } from '../panel/components/tasklist';
import { ITaskViewProps, TaskView } from '../panel/components/taskview';
import { shown } from '../panel/log';
import { TasksModel } from '../panel/tasks';
import { COMMANDS, IListedQueue, ITaskRow, NO_FILTER } from '../panel/tokens';
import type { Api } from '../request';
import { queueLine, queueSummary, task, taskLine, worker } from './example';
import { host, root } from './host';

const trans = nullTranslator.load('desipipe');

const log = (
  lines: string[],
  dropped = 0,
  times: (number | null)[] = lines.map(() => null)
): ILog => ({
  lines,
  times,
  dropped,
  attempt: 0,
  all: async () => lines.join('\n')
});

let asked: unknown[][];

const note =
  (word: string) =>
  (...args: unknown[]): void => {
    asked.push([word, ...args]);
  };
const render = (element: JSX.Element) => act(() => root.render(element));
const find = <T extends HTMLElement = HTMLElement>(selector: string) =>
  host.querySelector<T>(selector)!;
const texts = (selector: string) =>
  [...host.querySelectorAll(selector)].map(node => node.textContent);
const click = (selector: string) => act(() => find(selector).click());
const type = (selector: string, text: string) =>
  act(() => {
    const input = find<HTMLInputElement>(selector);
    const { set } = Object.getOwnPropertyDescriptor(
      HTMLInputElement.prototype,
      'value'
    )!;
    set!.call(input, text);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  });
const press = (node: HTMLElement, key: string) =>
  act(() => {
    node.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  });

beforeEach(() => {
  asked = [];
});

describe('QueueList', () => {
  const show = (props: Partial<IQueueListProps>) =>
    render(
      <QueueList
        lines={[]}
        problem=""
        lost={false}
        heard={0}
        open={null}
        onToggle={note('toggle')}
        onDismiss={note('dismiss')}
        onCommand={note('command')}
        onSettings={note('settings')}
        onMenu={note('menu')}
        trans={trans}
        {...props}
      >
        {line => <p>{`all of ${line.queue}`}</p>}
      </QueueList>
    );

  it('explains what to do where there is nothing', () => {
    show({ lines: null });
    expect(host.textContent).toContain('Loading queues…');
    show({ lines: [] });
    expect(host.textContent).toContain('No queues yet.');
    expect(find('pre').textContent).toContain('%desipipe use my_queue');
  });

  it('says in a line how each queue is doing, not by colour alone', () => {
    show({
      lines: [
        queueLine({ counts: { SUCCEEDED: 1204, FAILED: 3 }, total: 2000 }),
        queueLine({
          queue: 'other',
          folder: '/q/other',
          condition: 'done',
          left: 0,
          counts: { SUCCEEDED: 5000 },
          total: 5000
        })
      ]
    });
    expect(texts('.jp-desipipe-name')).toEqual(['▸ test', '▸ other']);
    expect(texts('.jp-desipipe-condition')).toEqual(['● running', '✓ done']);
    expect(texts('.jp-desipipe-short')).toEqual(['✕ 3 1,204 / 2,000', '5,000']);
    // Nothing is left of the other one that could be paused.
    expect(
      [...host.querySelectorAll('.jp-desipipe-queues [aria-label]')].map(node =>
        node.getAttribute('aria-label')
      )
    ).toEqual(['Pause test', 'More of test', 'More of other']);
  });

  it('opens one, pauses, resumes, and has a menu', () => {
    const line = queueLine();
    show({ lines: [line], open: line.folder });
    expect(find('.jp-desipipe-toggle').getAttribute('aria-expanded')).toBe(
      'true'
    );
    expect(find('.jp-desipipe-queue p').textContent).toBe('all of test');
    click('.jp-desipipe-toggle');
    click('[aria-label="Pause test"]');
    click('[aria-label="More of test"]');
    const paused = queueLine({ state: 'PAUSED', condition: 'paused' });
    show({ lines: [paused] });
    click('[aria-label="Resume test"]');
    expect(asked.map(([word, what]) => [word, what])).toEqual([
      ['toggle', line.folder],
      ['command', COMMANDS.pause],
      ['menu', line],
      ['command', COMMANDS.resume]
    ]);
  });

  it('searches many queues, and keeps the one that is open', () => {
    const lines = Array.from({ length: 20 }, (_, i) =>
      queueLine({ queue: `run_${i}`, folder: `/q/${i}` })
    );
    show({ lines: lines.slice(0, 5) });
    expect(find('input')).toBe(null);
    show({ lines, open: '/q/3' });
    type('input', '17');
    expect(texts('.jp-desipipe-name')).toEqual(['▾ run_3', '▸ run_17']);
  });

  it('says that the server or a queue is gone, and keeps what was known', () => {
    show({ lines: [queueLine()], lost: true, heard: 1e12 });
    expect(texts('[role="alert"]')[0]).toContain('No connection');
    expect(texts('.jp-desipipe-name')).toEqual(['▸ test']);
    show({
      lines: [queueLine({ error: 'It is gone.', condition: 'unreadable' })],
      problem: 'The disk is <b>full</b>.'
    });
    expect(texts('[role="alert"] > div')).toEqual(['The disk is <b>full</b>.']);
    expect(texts('.jp-desipipe-condition')).toEqual(['⚠ not readable']);
    click('[aria-label="Hide test"]');
    click('[role="alert"] button');
    expect(asked).toEqual([
      ['dismiss', '/q/test.queue'],
      ['command', COMMANDS.refresh]
    ]);
  });
});

describe('QueueView', () => {
  /** A server that has not answered yet. */
  const silent = { look: () => new Promise(() => 0) } as unknown as Api;
  const show = (
    line: Partial<IListedQueue>,
    props: Partial<IQueueViewProps> = {}
  ) =>
    render(
      <QueueView
        line={queueLine(line)}
        summary={queueSummary()}
        problem=""
        filter={NO_FILTER}
        workers={true}
        tasks={new TasksModel(silent, '')}
        words={problem => problem?.message ?? ''}
        onCommand={note('command')}
        onFilter={note('filter')}
        onWorkers={note('workers')}
        onEndWorker={note('end')}
        onTask={note('task')}
        onTasks={note('tasks')}
        trans={trans}
        {...props}
      />
    );
  it('says whose queue it is, and lets only looked at what is not trusted', () => {
    const counts = { FAILED: 1, PENDING: 1 };
    show({ counts, left: 1, untrusted: 'alice', owner: 'alice', own: false });
    expect(host.textContent).toContain('belongs to user alice');
    expect(host.textContent).toContain('desipipe trust alice');
    const buttons = [...host.querySelectorAll('button[data-command]')];
    const disabled = buttons.filter(one => (one as HTMLButtonElement).disabled);
    expect(disabled.map(one => one.getAttribute('data-command'))).toEqual([
      COMMANDS.start,
      COMMANDS.retry
    ]);
    for (const one of disabled) {
      expect(one.getAttribute('title')).toContain('whom you do not trust');
    }
    show({ counts, left: 1, owner: 'alice', own: false, group: 'desi' });
    expect(host.textContent).toContain('of user alice · shared by group desi');
    expect(host.querySelectorAll('button[data-command]:disabled')).toHaveLength(
      0
    );
  });

  const manager = {
    name: 'm',
    host: 'login1',
    pid: 1,
    since: 0,
    alive: true,
    says: '',
    stopping: false
  };

  it('tells how far it is, and lists the tasks of a state', () => {
    show({
      counts: { RUNNING: 1, FAILED: 4, PENDING: 2, WAITING: 3 },
      claimed: 1,
      blocked: 3,
      total: 10,
      rate: 0.9,
      eta: 840
    });
    expect(texts('.jp-desipipe-numbers')).toEqual(['0 / 10']);
    expect(texts('.jp-desipipe-count')).toEqual([
      '● 1 running',
      '✕ 4 failed',
      '○ 2 pending (1 claimed)',
      '‖ 3 blocked'
    ]);
    expect(texts('.jp-desipipe-note')).toEqual([
      '0.9 tasks/s · about 14:00 left · no manager'
    ]);
    click('.jp-desipipe-counts button:nth-child(2)');
    expect(asked).toEqual([['filter', { ...NO_FILTER, state: 'FAILED' }]]);
  });

  it('offers what can be done: to start a manager where there is none', () => {
    const buttons = () => texts('.jp-desipipe-actions button');
    show({ condition: 'stopped' });
    expect(buttons()).toEqual(['Start workers', 'Graph', 'Timeline']);
    expect(find('.jp-mod-main').textContent).toBe('Start workers');
    show({ manager, counts: { FAILED: 2, RUNNING: 1 } });
    expect(buttons()).toEqual(['Retry 2', 'Graph', 'Timeline']);
    show({ manager: { ...manager, alive: false, says: 'disk full' } });
    expect(buttons()).toEqual(['Start workers', 'Graph', 'Timeline']);
    expect(texts('.jp-desipipe-note')).toContain('manager on login1 has died');
    expect(texts('[role="alert"] > div')).toEqual(['disk full']);
    click('[data-command]');
    expect(asked).toEqual([['command', COMMANDS.start]]);
  });

  it('names the first failure, what it blocks, and damage', () => {
    const failure = { ...taskLine({ cause: '<img src=x>', state: 'FAILED' }) };
    const later = { ...failure, tid: 'fade', index: 13 };
    show(
      {},
      {
        summary: queueSummary({
          failures: [failure],
          blocked: 3,
          causes: [
            { ...failure, count: 2 },
            { ...later, count: 1 }
          ],
          n_causes: 2,
          n_damage: 1,
          workers: [worker()],
          n_workers: 1
        })
      }
    );
    expect(texts('.jp-desipipe-failure')).toEqual([
      '⚠ power[12]: <img src=x> (blocks 2 tasks)',
      '✕ power[13]: <img src=x> (blocks 1 task)'
    ]);
    expect(host.querySelector('img')).toBe(null);
    expect(texts('[role="alert"]')[0]).toContain('doctor --repair');
    click('.jp-desipipe-failure button');
    expect(asked).toEqual([['task', failure]]);
    const failure_kinds = [
      { kind: 'ValueError', count: 13 },
      { kind: 'KeyError', count: 1 }
    ];
    show({}, { summary: queueSummary({ failures: [failure], failure_kinds }) });
    expect(texts('.jp-desipipe-failure')).toEqual([
      '⚠ ValueError × 13, KeyError × 1; first: power[12]: <img src=x>'
    ]);
  });

  it('shows nothing but why where a queue cannot be read', () => {
    show({ error: 'It is gone.' });
    expect(host.textContent).toBe('⚠It is gone.');
  });
});

describe('TaskList', () => {
  // jsdom has no layout: as if it were ten lines high.
  const size = { configurable: true, value: 240 };
  beforeAll(() => {
    Object.defineProperty(HTMLElement.prototype, 'offsetHeight', size);
    Object.defineProperty(HTMLElement.prototype, 'offsetWidth', size);
    Object.defineProperty(HTMLElement.prototype, 'clientHeight', size);
    Element.prototype.scrollTo = () => undefined;
  });
  afterAll(() => {
    const prototype = HTMLElement.prototype as unknown as Record<
      string,
      number
    >;
    delete prototype.offsetHeight;
    delete prototype.offsetWidth;
    delete prototype.clientHeight;
  });

  const show = (props: Partial<ITaskListProps> = {}) =>
    render(
      <TaskList
        total={100_000}
        busy={false}
        get={place => taskLine({ tid: `t${place}`, index: place })}
        onRange={note('range')}
        onOpen={({ tid }) => asked.push(['open', tid])}
        empty="Nothing."
        trans={trans}
        {...props}
      />
    );
  const lines = () => [
    ...host.querySelectorAll<HTMLElement>('[role="option"]')
  ];
  const current = () =>
    lines()
      .filter(line => line.getAttribute('aria-selected') === 'true')
      .map(line => line.dataset.tid);

  it('has only what is seen in the page, and asks only for that', () => {
    show();
    expect(lines().length).toBeLessThan(40);
    expect(lines()[0].getAttribute('aria-label')).toBe(
      'power[0], running, nid1'
    );
    expect(lines()[0].getAttribute('aria-setsize')).toBe('100000');
    const [, first, last] = asked[asked.length - 1] as [string, number, number];
    expect(first).toBe(0);
    expect(last).toBeLessThan(40);
  });

  it('is used by keyboard', () => {
    show();
    const list = find('[role="listbox"]');
    expect(list.tabIndex).toBe(0);
    press(list, 'ArrowDown');
    press(list, 'ArrowDown');
    press(list, 'ArrowUp');
    expect(current()).toEqual(['t1']);
    expect(list.getAttribute('aria-activedescendant')).toBe(
      lines().find(line => line.dataset.tid === 't1')!.id
    );
    press(list, 'Enter');
    press(list, 'x');
    press(list, 'Home');
    press(list, ' ');
    expect(asked.filter(([word]) => word === 'open')).toEqual([
      ['open', 't1'],
      ['open', 't0']
    ]);
    // The menu key, pressed on the list, is for the line.
    const menus: EventTarget[] = [];
    list.addEventListener('contextmenu', event => menus.push(event.target!));
    press(list, 'ArrowDown');
    act(() => {
      list.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
    });
    expect(menus.map(node => (node as HTMLElement).dataset.tid)).toContain(
      't1'
    );
  });

  it('selects with Shift and arrows, less on the way back', () => {
    const selected = new Map<string, ITaskRow>();
    const draw = () =>
      show({
        selected: new Map(selected),
        onSelect: tasks => {
          const isOn = tasks.length > 1 || !selected.has(tasks[0].tid);
          tasks.forEach(one =>
            isOn ? selected.set(one.tid, one) : selected.delete(one.tid)
          );
        }
      });
    const use = (key: string, shiftKey = true) => {
      draw();
      act(() => {
        find('[role="listbox"]').dispatchEvent(
          new KeyboardEvent('keydown', { key, shiftKey, bubbles: true })
        );
      });
      return [...selected.keys()].sort().join(' ');
    };
    use('Home', false);
    use('ArrowDown', false);
    use('ArrowDown', false);
    expect(use('ArrowDown')).toBe('t2 t3');
    expect(use('ArrowDown')).toBe('t2 t3 t4');
    expect(use('ArrowUp')).toBe('t2 t3');
    expect(use('ArrowUp')).toBe('t2');
    expect(use('ArrowUp')).toBe('t1 t2');
    expect(use('ArrowDown')).toBe('t2');
  });

  it('selects several tasks with Ctrl and Shift, and opens one without', () => {
    const selected: (string | undefined)[][] = [];
    show({ onSelect: tasks => selected.push(tasks.map(({ tid }) => tid)) });
    const use = (i: number, keys: MouseEventInit) =>
      act(() => {
        lines()[i].dispatchEvent(
          new MouseEvent('click', { bubbles: true, ...keys })
        );
      });
    use(1, { ctrlKey: true });
    use(3, { shiftKey: true });
    use(2, {});
    const list = find('[role="listbox"]');
    act(() => {
      list.dispatchEvent(
        new KeyboardEvent('keydown', { key: ' ', ctrlKey: true, bubbles: true })
      );
    });
    expect(selected).toEqual([['t1'], ['t1', 't2', 't3'], ['t2']]);
    expect(asked.filter(([word]) => word === 'open')).toEqual([['open', 't2']]);
    show({
      selected: new Map([['t4', taskLine()]]),
      onSelect: () => undefined
    });
    expect(current()).toEqual(['t4']);
  });

  it('selects from what is current now, in lines drawn before', () => {
    const rows = [0, 1, 2, 3, 4].map(i => taskLine({ tid: `t${i}` }));
    const selected: (string | undefined)[][] = [];
    let cleared = 0;
    show({
      total: 5,
      get: place => rows[place],
      selected: new Map([['t1', rows[1]]]),
      onSelect: tasks => selected.push(tasks.map(({ tid }) => tid)),
      onClear: () => (cleared += 1)
    });
    for (const [place, key] of [
      [2, 'ctrlKey'],
      [4, 'shiftKey']
    ] as const) {
      act(() => {
        lines()[place].dispatchEvent(
          new MouseEvent('click', { bubbles: true, [key]: true })
        );
      });
    }
    expect(selected).toEqual([['t2'], ['t2', 't3', 't4']]);
    press(find('[role="listbox"]'), 'Escape');
    expect(cleared).toBe(1);
  });

  it('shows the arguments of tasks', () => {
    show({ total: 1, get: () => taskLine({ arguments_text: 'i=<b>12' }) });
    expect(texts('.jp-desipipe-arguments')).toEqual(['i=<b>12']);
  });

  it('says what is not known yet, what is blocked, and that there is nothing', () => {
    show({ get: () => undefined, busy: true });
    expect(lines()[0].getAttribute('aria-label')).toBe('loading');
    expect(find('[role="listbox"]').getAttribute('aria-busy')).toBe('true');
    press(find('[role="listbox"]'), 'Enter');
    expect(asked.filter(([word]) => word === 'open')).toEqual([]);
    show({
      total: 1,
      get: () => taskLine({ state: 'WAITING', blocked: 'abc', host: '' })
    });
    expect(lines()[0].textContent).toBe('‖power[12]');
    show({ total: 0 });
    expect(host.textContent).toBe('Nothing.');
  });
});

describe('TaskView', () => {
  const show = (props: Partial<ITaskViewProps> = {}) =>
    render(
      <TaskView
        task={task()}
        queue="test"
        problem=""
        out={log([])}
        err={log([])}
        highlight={async () => undefined}
        onTask={note('task')}
        onRetry={note('retry')}
        onCancel={note('cancel')}
        onCell={note('cell')}
        onQueue={note('queue')}
        trans={trans}
        {...props}
      />
    );
  const buttons = () => texts('header .jp-desipipe-actions button');

  it('offers what can be done with a task in its state', () => {
    show();
    expect(buttons()).toEqual(['Go to cell', 'Cancel…']);
    show({ task: task({ state: 'KILLED' }) });
    expect(buttons()).toEqual(['Go to cell', 'Retry']);
    show({ task: task({ state: 'SUCCEEDED' }) });
    expect(buttons()).toEqual(['Go to cell', 'Run again…']);
    show({
      task: task({
        state: 'KILLED',
        next: { tid: 't1', name: 'power', index: 1 }
      }),
      gone: true
    });
    expect(buttons()).toEqual(['Go to cell']);
    expect(host.querySelectorAll('header button:enabled')).toHaveLength(1);
  });

  it('shows whatever a task holds as text', () => {
    const evil = '<script>evil()</script> \x1b[31mred\x1b[0m \u202etxt';
    show({
      task: task({
        state: 'FAILED',
        cause: evil,
        trace: `Traceback\n${evil}`,
        code: evil,
        arguments: { evil },
        attempts: [
          {
            attempt: 1,
            state: 'FAILED',
            worker: 'a',
            host: 'nid1',
            job: '4411_2',
            began: 950,
            duration: 1,
            memory: null,
            cause: evil,
            current: true,
            out: 0,
            err: 0
          }
        ]
      }),
      out: log([evil].map(shown))
    });
    expect(host.querySelector('script')).toBe(null);
    const text = '<script>evil()</script> red \ufffdtxt';
    expect(find('.jp-desipipe-cause').textContent).toBe(text);
    expect(find('[role="log"]').textContent).toBe(`${text}\n`);
    expect(texts('td').slice(-1)).toEqual([text]);
    expect(find('section[aria-label="Traceback"] pre').textContent).toBe(
      `Traceback\n${text}`
    );
    expect(find('section[aria-label="Code"] code').textContent).toBe(evil);
  });

  it('shows the result in few words', () => {
    show({ task: task({ state: 'SUCCEEDED', result: 40, preview: '1.25' }) });
    const result = find('section[aria-label="Result"]');
    expect(result.querySelector('pre')?.textContent).toBe('1.25');
    expect(result.textContent).toContain('40 B');
  });

  it('opens what the task displayed, and runs nothing of it', async () => {
    const data = [
      { 'image/png': 'iVBO\nRw0=', 'text/plain': 'a figure' },
      { 'text/html': '<script>evil()</script><table></table>' }
    ];
    const displays = {
      list: async () => ({
        displays: data.map((forms, number) => ({
          number,
          kinds: {
            ...forms,
            ...{ [Object.keys(forms)[0]]: 1_400_000 }
          } as never,
          text: ''
        })),
        total: data.length,
        untrusted: ''
      }),
      open: async (number: number) => data[number]
    };
    await act(async () => show({ displays }));
    expect(texts('summary')).toEqual([
      'Figure 1: image/png (1.4 MB)',
      'Display 2: text/html (1.4 MB)'
    ]);
    expect(host.textContent).toContain('--save displays');
    for (const details of host.querySelectorAll('details')) {
      await act(async () => {
        details.open = true;
        details.dispatchEvent(new Event('toggle'));
      });
    }
    expect(find<HTMLImageElement>('details img').src).toBe(
      'data:image/png;base64,iVBORw0='
    );
    const frame = find<HTMLIFrameElement>('details iframe');
    expect(frame.getAttribute('sandbox')).toBe('');
    expect(frame.srcdoc).toContain('<table>');
    expect(host.querySelector('script')).toBe(null);
  });

  it('shows displays of a user who is not trusted as text, until they are', async () => {
    let untrusted = 'alice';
    const displays = {
      list: async () => ({
        displays: [{ number: 0, kinds: { 'text/plain': 5 }, text: '' }],
        total: 1,
        untrusted
      }),
      open: async () => ({ 'text/plain': 'plain' })
    };
    const onTrust = async (user: string): Promise<boolean> => {
      asked.push(['trust', user]);
      untrusted = '';
      return true;
    };
    await act(async () => show({ displays, onTrust }));
    expect(find('[data-command="trust"]').textContent).toBe('Trust alice…');
    await act(async () => click('[data-command="trust"]'));
    expect(asked).toEqual([['trust', 'alice']]);
    expect(host.querySelector('[data-command="trust"]')).toBe(null);
  });

  it('marks the line that failed, and compares with other tasks', () => {
    const peers = { n: 5, median: 2, least: 1, most: 9, memory: 3e6 };
    const code = 'def f(i):\n    return 1 / i\n';
    const other = { tid: 'x', name: 'power', index: 13 };
    show({ task: task({ code, line: 2, peers, next: other, previous: null }) });
    expect(texts('mark')).toEqual(['    return 1 / i']);
    expect(host.textContent).toContain(
      'median 2.0 s (1.0 s to 9.0 s), 3.0 MB, of 5 tasks'
    );
    expect(
      find<HTMLButtonElement>('[aria-label="Previous task"]').disabled
    ).toBe(true);
    click('[aria-label="Next task"]');
    expect(asked).toEqual([['task', other]]);
  });

  it('leads to what it waits for in vain', () => {
    show({ task: task({ state: 'WAITING', blocked: 'f00' }) });
    expect(find('[role="status"]').textContent).toBe('blocked');
    click('.jp-desipipe-cause button');
    expect(asked).toEqual([['task', { tid: 'f00', name: '', index: 0 }]]);
  });
});

describe('LogView', () => {
  const show = (
    lines: string[],
    dropped = 0,
    times?: (number | null)[] | undefined
  ) =>
    render(
      <LogView
        title="Output"
        log={log(lines.map(shown), dropped, times)}
        file="power-12.out.txt"
        command="desipipe logs -q test abc"
        running={true}
        trans={trans}
      />
    );

  it('shows HTML, escape sequences and bytes as text', () => {
    const bytes = Array.from({ length: 256 }, (_, i) =>
      i === 10 ? '' : String.fromCharCode(i)
    ).join('');
    show([
      '<img src=x onerror=evil()>',
      '\x1b[1mbold\x1b[0m',
      bytes,
      '9%\r99%'
    ]);
    expect(host.querySelector('img')).toBe(null);
    const lines = find('[role="log"]').textContent!.split('\n');
    expect(lines.slice(0, 2)).toEqual(['<img src=x onerror=evil()>', 'bold']);
    // eslint-disable-next-line no-control-regex -- these are what is looked for
    expect(lines[2]).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
    expect(lines[3]).toBe('99%');
  });

  it('says how to see what is not shown', () => {
    show(['last'], 7000);
    expect(find('.jp-desipipe-note').textContent).toBe(
      '7,000 earlier lines not shown. Full log: desipipe logs -q test abc'
    );
    show([]);
    expect(host.textContent).toBe('');
  });

  it('searches lines, by number', () => {
    show(['one', 'Two', 'three', 'twofold'], 10);
    type('input', 'two');
    expect(texts('[role="status"]')).toEqual(['2 matching lines']);
    expect(texts('.jp-desipipe-log > div')).toEqual(['12 Two', '14 twofold']);
  });

  it('shows when lines came, where that is known', () => {
    show(['one', 'two']);
    expect(host.querySelector('[type="checkbox"]')).toBe(null);
    const now = new Date();
    show(['one', 'two'], 0, [null, now.getTime() / 1000]);
    click('[type="checkbox"]');
    const time = now.toLocaleTimeString(undefined, { timeStyle: 'medium' });
    expect(find('[role="log"]').textContent).toBe(
      `${' '.repeat(11)} one\n${time.padEnd(11)} two\n`
    );
    // The next log, of which no time is known, is not indented for any.
    show(['three']);
    expect(find('[role="log"]').textContent).toBe('three\n');
  });

  it('changes only the last piece when lines are added', () => {
    const lines = Array.from({ length: 450 }, (_, i) => `${i}`);
    show(lines);
    const pieces = [...find('[role="log"]').children];
    show([...lines, 'more']);
    const now = [...find('[role="log"]').children];
    expect(now).toEqual(pieces);
    expect(now[2].textContent!.endsWith('more\n')).toBe(true);
    expect(now.length).toBe(3);
  });
});
