/** What kernel and server send, for tests. */
import {
  IJobView,
  IListedQueue,
  IQueueView,
  ITaskView,
  ITaskRow,
  IWorkerView
} from '../panel/tokens';
import { ICellView } from '../tokens';

/** Changes of a cell, whose outputs and jobs tests make of what they need. */
type CellChanges = Partial<
  Omit<ICellView, 'outputs' | 'jobs' | 'job_groups'>
> & {
  outputs?: readonly object[];
  jobs?: readonly object[];
  job_groups?: readonly object[];
};

/** A cell of 20 tasks: 13 succeeded, 1 failed, 4 run, 2 wait for a worker. */
export function example(changes: CellChanges = {}): ICellView {
  return {
    version: 1,
    queue: 'test',
    folder: '/queues/test.queue',
    title: 'fraction',
    rows: '0-19',
    first: 'ab'.repeat(16),
    time: Date.now() / 1000,
    condition: 'running',
    published: '',
    total: 20,
    counts: { SUCCEEDED: 13, FAILED: 1, RUNNING: 4, PENDING: 2 },
    claimed: 0,
    blocked: 0,
    superseded: 0,
    left: 6,
    workers: 2,
    slots: 4,
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
      line: 4,
      kinds: [{ kind: 'ValueError', count: 1 }]
    },
    causes: [],
    jobs: [],
    n_jobs: 0,
    job_groups: [],
    advice: [],
    outputs: [],
    truncated: '',
    gone: '',
    refused: '',
    untrusted: '',
    ...changes
  } as ICellView;
}

/** The same, when all has ended well. */
export function done(changes: CellChanges = {}): ICellView {
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

/** A queue of 3 tasks, one of which runs. */
export function queueLine(changes: Partial<IListedQueue> = {}): IListedQueue {
  return {
    queue: 'test',
    name: 'test',
    folder: '/q/test.queue',
    error: '',
    condition: 'running',
    time: 1000,
    state: 'ACTIVE',
    total: 3,
    counts: { RUNNING: 1, PENDING: 2 },
    claimed: 0,
    blocked: 0,
    superseded: 0,
    left: 3,
    workers: 0,
    limits: {},
    manager: null,
    last_says: '',
    rate: null,
    eta: null,
    owner: '',
    own: true,
    group: '',
    untrusted: '',
    ...changes
  };
}

/** The same, when it is open. */
export function queueSummary(changes: Partial<IQueueView> = {}): IQueueView {
  return {
    ...queueLine(),
    condition: 'running',
    workers: [],
    n_workers: 0,
    jobs: [],
    n_jobs: 0,
    failures: [],
    failure_kinds: [],
    causes: [],
    n_causes: 0,
    damage: [],
    n_damage: 0,
    held: [],
    ...changes
  };
}

/** A worker of a batch job, with one slot, at work. */
export function worker(changes: Partial<IWorkerView> = {}): IWorkerView {
  return {
    name: 'a',
    host: 'nid1',
    pid: 4242,
    job: '4411_2',
    mid: '',
    slots: 1,
    since: 900,
    alive: true,
    stopping: false,
    trouble: '',
    running: 1,
    claimed: 0,
    tasks: [
      { tid: 'abc', name: 'power', index: 12, since: 950, superseded: false }
    ],
    cpu: null,
    memory: null,
    ...changes
  };
}

/** A batch job of 8 slots that has begun, and in which there is no worker yet. */
export function job(changes: Partial<IJobView> = {}): IJobView {
  return {
    job: '4411_2',
    mid: '',
    slots: 8,
    state: 'running',
    reason: '',
    node: '',
    ends: null,
    workers: [],
    running: 0,
    claimed: 0,
    tasks: [],
    ...changes
  };
}

/** A line of a list of tasks. */
export function taskLine(changes: Partial<ITaskRow> = {}): ITaskRow {
  return {
    tid: 'abc',
    name: 'power',
    index: 12,
    row: 12,
    state: 'RUNNING',
    claimed: false,
    blocked: '',
    superseded: false,
    mid: '',
    attempt: 1,
    worker: 'a',
    host: 'nid1',
    job: '4411_2',
    began: 950,
    duration: null,
    memory: null,
    cause: '',
    arguments_text: '',
    ...changes
  };
}

/** All that is known of it. */
export function task(changes: Partial<ITaskView> = {}): ITaskView {
  return {
    ...taskLine(),
    kind: 'python',
    added: 900,
    timeout: null,
    retries: 0,
    retry_on: [],
    priority: 0,
    cwd: '/home/me',
    path: '.',
    line: null,
    code: 'def power(i):\n    return i\n',
    arguments: { i: '12' },
    versions: {},
    environment: {},
    files: [],
    n_files: 0,
    attempts: [],
    out: 0,
    err: 0,
    result: null,
    preview: '',
    trace: '',
    requires: [],
    n_requires: 0,
    dependants: [],
    n_dependants: 0,
    n_superseded_dependants: 0,
    blocker: null,
    previous: null,
    next: null,
    peers: null,
    problems: [],
    ...changes
  };
}
