/** What kernel and server send, for tests. */
import { ICellSummary } from '../tokens';

/** A cell of 20 tasks: 13 succeeded, 1 failed, 4 run, 2 wait for a worker. */
export function example(changes: Partial<ICellSummary> = {}): ICellSummary {
  return {
    version: 1,
    queue: 'test',
    folder: '/queues/test.queue',
    title: 'fraction',
    rows: '0-19',
    first: 'ab'.repeat(16),
    time: Date.now() / 1000,
    condition: 'running',
    total: 20,
    counts: { SUCCEEDED: 13, FAILED: 1, RUNNING: 4, PENDING: 2 },
    blocked: 0,
    left: 6,
    workers: 4,
    rate: 0.8,
    eta: 8,
    elapsed: 17,
    began: 1000,
    ended: null,
    cached: false,
    computed: null,
    failure: {
      tid: 'ab'.repeat(16),
      name: 'fraction',
      index: 3,
      state: 'FAILED',
      cause: 'ValueError: size must be positive',
      line: 4
    },
    causes: [],
    advice: [],
    outputs: [],
    truncated: '',
    ...changes
  };
}

/** The same, when all has ended well. */
export function done(changes: Partial<ICellSummary> = {}): ICellSummary {
  return example({
    condition: 'done',
    counts: { SUCCEEDED: 20 },
    left: 0,
    rate: null,
    eta: null,
    elapsed: 25,
    failure: null,
    ...changes
  });
}
