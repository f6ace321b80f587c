import { Dialog } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';

import { Actions } from '../panel/actions';
import { queueLine, taskLine, worker } from './example';
import { FakeServer, until } from './server';

const trans = nullTranslator.load('desipipe');

describe('Actions', () => {
  const actions = () => {
    const server = new FakeServer();
    return { server, actions: new Actions(server.api, trans) };
  };
  /** Answer the dialog that is open, by the text of a button. */
  const answer = async (words: string): Promise<string> => {
    const open = () => document.querySelector<HTMLElement>('.jp-Dialog');
    await until(() => open() !== null, 'a dialog is open');
    const text = open()!.textContent ?? '';
    [...open()!.querySelectorAll('button')]
      .find(button => button.textContent === words)!
      .click();
    await until(() => open() === null, 'it is closed');
    return text;
  };
  const line = queueLine({ counts: { RUNNING: 2, PENDING: 1 }, total: 3 });
  const order = { queue: line.folder };
  type Case = [
    string,
    (it: Actions) => Promise<boolean>,
    [string, string, string],
    string,
    object
  ];
  const cases: Case[] = [
    [
      'cancels all that is left',
      it => it.cancel(line),
      ['Don’t cancel', 'Cancel tasks', '2 tasks are running'],
      'cancel',
      { ...order, states: ['RUNNING', 'PENDING', 'WAITING'] }
    ],
    [
      'ends all workers',
      it => it.kill(line),
      ['Cancel', 'Stop workers', '2 tasks are running: they are killed'],
      'kill',
      order
    ],
    [
      'ends one',
      it => it.endWorker(line.folder, worker()),
      ['Cancel', 'Stop worker', '1 task is running in it'],
      'kill',
      { ...order, jobids: ['4411_2'] }
    ],
    [
      'deletes a queue',
      it => it.delete(line),
      ['Don’t delete', 'Delete', '3 tasks and their results are deleted'],
      'delete',
      order
    ],
    [
      'cancels a task',
      it => it.cancelTask(line.folder, taskLine()),
      ['Don’t cancel', 'Cancel task', 'what it has computed so far is lost'],
      'cancel',
      { ...order, tids: ['abc'] }
    ],
    [
      'runs a task again that has a result',
      it => it.retryTask(line.folder, taskLine({ state: 'SUCCEEDED' })),
      ['Cancel', 'Run again', 'Its result stays until the new one is there'],
      'retry',
      { ...order, tids: ['abc'], spawn: true }
    ],
    [
      'cancels a task that runs again',
      it => it.cancelTask(line.folder, { ...taskLine(), result: 5 } as never),
      ['Don’t cancel', 'Cancel task', 'Its earlier result stays.'],
      'cancel',
      { ...order, tids: ['abc'] }
    ],
    [
      'retries several tasks of which one has a result',
      it =>
        it.retryTasks(line.folder, [
          taskLine({ state: 'SUCCEEDED' }),
          taskLine({ tid: 'def', state: 'FAILED' })
        ]),
      ['Cancel', 'Run again', '1 other task is retried, too.'],
      'retry',
      { ...order, tids: ['abc', 'def'], spawn: true }
    ],
    [
      'cancels those of several tasks that have not ended',
      it =>
        it.cancelTasks(line.folder, [
          taskLine(),
          taskLine({ tid: 'def', state: 'PENDING' }),
          taskLine({ tid: 'end', state: 'FAILED' })
        ]),
      ['Don’t cancel', 'Cancel tasks', '1 task is running'],
      'cancel',
      { ...order, tids: ['abc', 'def'] }
    ],
    [
      'clears superseded tasks',
      it => it.clearSuperseded(queueLine({ superseded: 2 })),
      ['Cancel', 'Clear', '2 tasks whose code was edited since'],
      'forget',
      order
    ]
  ];

  afterEach(() => Dialog.flush());

  it.each(cases)(
    '%s only when one is sure',
    async (_, act, [no, yes, words], path, body) => {
      const { server, actions: it } = actions();
      const kept = act(it);
      expect(await answer(no)).toContain(words);
      expect(await kept).toBe(false);
      expect(server.asked).toEqual([]);
      const done = act(it);
      await answer(yes);
      expect(await done).toBe(true);
      expect(server.count(`actions/${path}`)).toBe(1);
      expect(server.bodies).toEqual([body]);
    }
  );

  it('does at once what loses nothing, and says why something did not work', async () => {
    const { server, actions: it } = actions();
    expect(await it.retry(line)).toBe(true);
    expect(server.bodies).toEqual([{ ...order, spawn: true }]);
    const failed = taskLine({ state: 'FAILED' });
    expect(await it.retryTask(line.folder, failed)).toBe(true);
    expect(await it.resume(line)).toBe(true);
    expect(server.bodies.slice(1)).toEqual([
      { ...order, tids: ['abc'], spawn: true },
      { ...order, spawn: true }
    ]);
    // Of tasks that run or are superseded there is nothing to run again.
    const ended = server.bodies.length;
    expect(await it.retryTask(line.folder, taskLine())).toBe(false);
    const old = taskLine({ state: 'SUCCEEDED', superseded: true });
    expect(await it.retryTask(line.folder, old)).toBe(false);
    expect(server.bodies.length).toBe(ended);
    server.refuse = 500;
    expect(await it.pause(line)).toBe(false);
  });
});
