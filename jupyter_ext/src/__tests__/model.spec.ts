import { CellModel, Follower, ITiming } from '../model';
import { done, example } from './example';
import { FakeServer, settle, until } from './server';

const TIMING: ITiming = {
  gather: 1,
  backoff: 1,
  patience: 4,
  interval: 1,
  linger: 1
};
const OLD = 1_000_000; // s: long ago

describe('CellModel', () => {
  let server: FakeServer;
  let follower: Follower;
  let model: CellModel;
  let changes: number;

  beforeEach(() => {
    server = new FakeServer();
    follower = new Follower(server.api, TIMING);
    model = new CellModel(follower);
    changes = 0;
    model.changed.connect(() => {
      changes += 1;
    });
  });

  afterEach(() => {
    model.dispose();
  });

  it('asks nothing while nobody looks', async () => {
    model.receive(example());
    await settle();
    expect(server.asked).toEqual([]);
  });

  it('asks for the cell, and follows its queue, while someone looks', async () => {
    server.cell = example({ time: Date.now() / 1000 + 10, left: 3 });
    model.receive(example());
    model.visible = true;
    await until(() => model.summary?.left === 3, 'the server has answered');
    expect(server.asked[0]).toContain(
      `GET /prefix/desipipe/api/cell?queue=%2Fqueues%2Ftest.queue&rows=0-19&first=${'ab'.repeat(16)}&title=fraction`
    );
    await until(() => server.streams.length === 1, 'the stream is open');
    expect(server.stream.folders).toEqual(['/queues/test.queue']);
    model.visible = false;
    await until(() => server.stream.aborted, 'the stream is closed');
  });

  it('asks for no outputs of a whole queue, again and again', async () => {
    server.cell = example({ time: Date.now() / 1000 + 10, left: 3 });
    model.receive(example({ kind: 'queue' }));
    model.visible = true;
    await until(() => model.summary?.left === 3, 'the server has answered');
    await until(() => server.streams.length === 1, 'the stream is open');
    await settle();
    server.stream.send({ queue: '/queues/test.queue' });
    await until(() => server.count('cell') === 2, 'the server is asked');
    const questions = server.asked.filter(url => url.includes('/cell?'));
    expect(questions.every(url => url.endsWith('&outputs=false'))).toBe(true);
  });

  it('shows the newer of what kernel and server say', async () => {
    const now = Date.now() / 1000;
    server.cell = example({ time: now + 10, left: 3 });
    model.receive(example({ time: now }));
    model.visible = true;
    await until(() => model.summary?.left === 3, 'the server has answered');
    model.receive(example({ time: now + 5, left: 5 }));
    expect(model.summary?.left).toBe(3);
    model.receive(example({ time: now + 15, left: 2 }));
    expect(model.summary?.left).toBe(2);
    await until(() => server.streams.length === 1, 'the stream is open');
    server.stream.send({ queue: '/queues/test.queue' });
    const asked = server.count('cell');
    await until(() => server.count('cell') > asked, 'the server is asked');
    await settle();
    expect(model.summary?.left).toBe(2);
  });

  it('takes no outputs that stand under the cell meanwhile', async () => {
    const now = Date.now() / 1000;
    const output = { output_type: 'stream', name: 'stdout', text: 'once' };
    server.cell = done({ time: now + 10, outputs: [output] });
    model.receive(example({ time: now }));
    model.visible = true;
    expect(server.count('cell')).toBe(1); // its answer is on the way
    server.cell = done({ time: now + 10, published: '0:1' });
    model.receive(done({ time: now + 5, published: '0:1' }));
    await settle();
    expect(model.summary?.outputs).toEqual([]);
    const failed = { condition: 'failed', published: '0:1' } as const;
    model.receive(done({ ...failed, time: now + 6 }));
    model.visible = false;
    model.visible = true; // it may have been retried
    await until(
      () => server.asked.some(url => url.endsWith('&published=0%3A1')),
      'the server knows what not to repeat'
    );
  });

  it('asks again when its queue changes, and not when another does', async () => {
    server.cell = example();
    model.receive(example());
    model.visible = true;
    await until(() => server.streams.length === 1, 'the stream is open');
    await settle();
    expect(server.count('cell')).toBe(1);
    server.stream.send({ queue: '/queues/other.queue' });
    await settle();
    expect(server.count('cell')).toBe(1);
    server.stream.send({ queue: '/queues/test.queue' });
    await until(() => server.count('cell') === 2, 'the server is asked');
  });

  it('makes one question of many changes', async () => {
    server.cell = example();
    model.receive(example());
    model.visible = true;
    await until(() => server.streams.length === 1, 'the stream is open');
    await settle();
    for (let i = 0; i < 100; i++) {
      server.stream.send({ queue: '/queues/test.queue' });
    }
    await settle();
    expect(server.count('cell')).toBeLessThan(6);
  });

  it('lets go of the stream when all has ended, and of the timers', async () => {
    server.cell = done({ time: Date.now() / 1000 + 10 });
    model.receive(example());
    model.visible = true;
    await until(() => model.summary?.condition === 'done', 'it is done');
    await until(
      () => server.streams.every(stream => stream.aborted),
      'nothing is followed'
    );
    const asked = server.asked.length;
    model.visible = false;
    model.visible = true;
    await settle();
    expect(server.asked.length).toBe(asked);
  });

  it('follows what failed, which may be retried from elsewhere', async () => {
    const time = Date.now() / 1000;
    const failed = example({ condition: 'failed', left: 0, time });
    server.cell = failed;
    model.receive(failed);
    model.visible = true;
    await until(() => server.streams.length === 1, 'it is followed');
    await settle();
    const asked = server.count('cell');
    await settle();
    expect(server.count('cell')).toBe(asked); // nothing changes
    server.cell = done({ time: time + 10 });
    server.stream.send({ queue: '/queues/test.queue' });
    await until(() => model.summary?.condition === 'done', 'it is done');
    await until(
      () => server.streams.every(stream => stream.aborted),
      'nothing is followed'
    );
  });

  it('looks once whether what failed was retried from elsewhere', async () => {
    const failed = example({ condition: 'failed', left: 0, time: OLD });
    server.cell = example();
    model.receive(failed);
    model.visible = true;
    await until(() => model.summary?.condition === 'running', 'it runs again');
    await until(() => server.streams.length === 1, 'it is followed');
  });

  it('keeps what was saved where the server has no desipipe, and does not insist', async () => {
    server.cell = 404;
    server.events = 404;
    model.receive(example({ time: OLD }));
    expect(model.freshness).toBe('unknown');
    model.visible = true;
    await until(() => model.freshness === 'stale', 'that is known');
    await settle();
    expect(server.count('cell')).toBe(1);
    expect(server.count('events')).toBeLessThan(2);
    expect(model.summary?.left).toBe(6);
    expect(model.problem).toBe(null);
  });

  it('does not call old what the kernel has just said', async () => {
    server.cell = 404;
    server.events = 404;
    model.receive(example());
    model.visible = true;
    await until(() => server.count('cell') === 1, 'the server was asked');
    await settle();
    expect(model.freshness).toBe('live');
  });

  it('finds back to a server that was away', async () => {
    server.cell = example({ time: Date.now() / 1000, left: 4 });
    model.receive(example({ time: OLD }));
    model.visible = true;
    await until(() => model.freshness === 'live', 'it is live');
    await until(() => server.streams.length === 1, 'the stream is open');
    server.cell = 0;
    server.events = 503;
    server.stream.end();
    await until(() => model.freshness === 'stale', 'the loss is seen');
    expect(model.summary?.left).toBe(4);
    server.cell = example({ time: Date.now() / 1000 + 1, left: 1 });
    server.events = true;
    await until(() => model.summary?.left === 1, 'it is seen again');
    expect(model.freshness).toBe('live');
  });

  it('takes the tasks of another run of the cell, whatever their time', () => {
    model.receive(example());
    model.receive(example({ rows: '20-39', time: OLD }));
    expect(model.summary?.rows).toBe('20-39');
  });

  it('tells only of changes', () => {
    const summary = example();
    model.receive(summary);
    expect(changes).toBe(1);
    model.receive(summary);
    expect(changes).toBe(1);
  });

  it('acts on those tasks of the cell that an action is for', async () => {
    server.cell = example({ time: Date.now() / 1000 + 1, left: 0 });
    model.receive(example());
    await model.act('cancel');
    expect(server.asked[0]).toBe('POST /prefix/desipipe/api/actions/cancel');
    expect(server.bodies).toEqual([
      {
        queue: '/queues/test.queue',
        rows: '0-19',
        first: 'ab'.repeat(16),
        states: ['RUNNING', 'PENDING', 'WAITING']
      }
    ]);
    expect(model.summary?.left).toBe(0);
    expect(model.acting).toBe(null);
  });

  it('says why an action did not work', async () => {
    server.refuse = 403;
    model.receive(example());
    await model.act('retry');
    expect(model.problem?.message).toBe('It does not work.');
    server.refuse = 0;
    await model.act('retry');
    expect(model.problem).toBe(null);
  });
});

describe('Follower', () => {
  it('has one stream for all queues that someone looks at', async () => {
    const server = new FakeServer();
    const follower = new Follower(server.api, TIMING);
    const heard: string[] = [];
    const first = follower.follow('/a', () => heard.push('a'));
    const second = follower.follow('/b', () => heard.push('b'));
    const third = follower.follow('/a', () => heard.push('A'));
    await until(() => server.streams.length === 1, 'the stream is open');
    expect(server.stream.folders).toEqual(['/a', '/b']);
    server.stream.send({ queue: '/a' });
    await until(() => heard.length === 2, 'both heard it');
    expect(heard).toEqual(['a', 'A']);
    first.dispose();
    await settle();
    expect(server.streams.length).toBe(1); // the other display of that queue is left
    third.dispose();
    await until(() => server.streams.length === 2, 'a new one is open');
    expect(server.streams[0].aborted).toBe(true);
    expect(server.stream.folders).toEqual(['/b']);
    second.dispose();
    await until(() => server.stream.aborted, 'none is open');
  });

  it('takes no connection for requests, and sends the token', async () => {
    const server = new FakeServer();
    const following = new Follower(server.api, TIMING).follow('/ü', jest.fn());
    await until(() => server.streams.length === 1, 'the stream is open');
    expect(server.sockets).toEqual([
      'ws://localhost/prefix/desipipe/api/socket?token=secret'
    ]);
    expect(server.stream.folders).toEqual(['/ü']);
    expect(server.asked).toEqual([]);
    following.dispose();
    await until(() => server.stream.aborted, 'it is closed');
  });

  it.each([0, 408, 424, 429, 500, 502, 503, 504])(
    'opens the stream again after a refusal that passes: %d',
    async status => {
      const server = new FakeServer();
      server.events = status;
      const follower = new Follower(server.api, TIMING);
      const told = jest.fn();
      const following = follower.follow('/a', told);
      await until(() => server.sockets.length > 2, 'it is tried again');
      expect(follower.isLost).toBe(true);
      server.events = true;
      await until(() => server.streams.length === 1, 'the stream is open');
      expect(follower.isLost).toBe(false);
      expect(told).toHaveBeenCalled();
      following.dispose();
    }
  );

  it.each([401, 403, 404])(
    'does not insist where it is told: %d',
    async status => {
      const server = new FakeServer();
      server.events = status;
      const follower = new Follower(server.api, TIMING);
      const following = follower.follow('/a', jest.fn());
      await until(
        () => server.count('events') === 1,
        'the reason is asked for'
      );
      await settle();
      expect(server.sockets.length).toBe(1);
      expect(follower.isLost).toBe(false);
      following.dispose();
    }
  );

  it('has no stream while the page is hidden, and looks up what it missed', async () => {
    const server = new FakeServer();
    const follower = new Follower(server.api, TIMING);
    const told = jest.fn();
    const following = follower.follow('/a', told);
    await until(() => server.streams.length === 1, 'the stream is open');
    hide(true);
    await until(() => server.stream.aborted, 'it is closed');
    expect(follower.isLost).toBe(false);
    const more = follower.follow('/b', jest.fn());
    await settle();
    expect(server.sockets.length).toBe(1);
    expect(told).not.toHaveBeenCalled();
    hide(false);
    await until(() => server.streams.length === 2, 'it is open again');
    expect(server.stream.folders).toEqual(['/a', '/b']);
    expect(told).toHaveBeenCalledTimes(1);
    following.dispose();
    more.dispose();
  });

  it('goes on where a page is hidden for a moment only', async () => {
    const server = new FakeServer();
    const follower = new Follower(server.api, { ...TIMING, linger: 1000 });
    const following = follower.follow('/a', jest.fn());
    await until(() => server.streams.length === 1, 'the stream is open');
    hide(true);
    hide(false);
    await settle();
    expect(server.stream.aborted).toBe(false);
    following.dispose();
  });

  it('takes a stream for lost that falls silent, and says so', async () => {
    jest.useFakeTimers();
    try {
      const server = new FakeServer();
      const follower = new Follower(server.api, TIMING);
      const model = new CellModel(follower);
      server.cell = example({ time: Date.now() / 1000 + 10 });
      model.receive(example({ time: OLD }));
      model.visible = true;
      await jest.advanceTimersByTimeAsync(100);
      expect(model.freshness).toBe('live');
      for (let i = 0; i < 10; i++) {
        await jest.advanceTimersByTimeAsync(15_000);
        server.stream.beat();
      }
      expect(follower.isLost).toBe(false);
      server.events = 0;
      server.hangs = true;
      await jest.advanceTimersByTimeAsync(41_000);
      expect(follower.isLost).toBe(true);
      expect(model.freshness).toBe('stale');
      model.dispose();
    } finally {
      jest.useRealTimers();
    }
  });
});

function hide(hidden: boolean): void {
  jest.spyOn(document, 'hidden', 'get').mockReturnValue(hidden);
  document.dispatchEvent(new Event('visibilitychange'));
}
