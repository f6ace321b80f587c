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
      ['Keep them', 'Cancel tasks', '2 of them run now'],
      'cancel',
      { ...order, states: ['RUNNING', 'PENDING', 'WAITING'] }
    ],
    [
      'ends all workers',
      it => it.kill(line),
      ['Keep them', 'End workers', '2 tasks run now: they are killed'],
      'kill',
      order
    ],
    [
      'ends one',
      it => it.endWorker(line.folder, worker()),
      ['Keep it', 'End worker', '1 task runs in it now'],
      'kill',
      { ...order, jobids: ['4411_2'] }
    ],
    [
      'deletes a queue',
      it => it.delete(line),
      ['Keep it', 'Delete', '3 tasks and their results are deleted for good'],
      'delete',
      order
    ],
    [
      'cancels a task',
      it => it.cancelTask(line.folder, taskLine()),
      ['Keep it', 'Cancel task', 'what it has computed so far is lost'],
      'cancel',
      { ...order, tids: ['abc'] }
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
    server.refuse = 500;
    expect(await it.pause(line)).toBe(false);
  });
});
