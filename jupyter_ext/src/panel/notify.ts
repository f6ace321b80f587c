/**
 * Notifications: of the first failure of a run, and of its end.
 */
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { stateWords } from '../components/status';
import { number } from '../format';
import { Shown, TARGETS } from '../tokens';
import { bad } from './components/bits';
import type { IChange } from './queues';
import type { IListedQueue, ISettings } from './tokens';

/** What there is to say of a change. */
export type News = 'failure' | 'done' | 'failed';

/** What there is to say of a change; nothing of a queue that was just met: it is old. */
export function news({ before, now }: IChange): News | null {
  if (!before || before.error || now.error) {
    return null;
  }
  if (
    now.left === 0 &&
    before.left === 0 &&
    now.superseded !== before.superseded
  ) {
    return null; // other tasks count than before, and none of them ran
  }
  // What ended while nobody could see it begin has ended too: there is more of it than before, or it ended otherwise than the last time.
  if (
    now.left === 0 &&
    now.total > 0 &&
    (before.left > 0 ||
      now.total > before.total ||
      now.condition !== before.condition)
  ) {
    return now.condition === 'done' ? 'done' : 'failed';
  }
  // Those that count again, because code went back to what it was, failed long before.
  const revived = Math.max(0, before.superseded - now.superseded);
  return bad(now) > revived && bad(before) === 0 && now.left > 0
    ? 'failure'
    : null;
}

/** `23 succeeded, 1 failed, 1 blocked`. */
function outcome(line: IListedQueue, trans: TranslationBundle): string {
  const words = stateWords(trans);
  const counts: [Shown, number][] = [
    ...(['SUCCEEDED', ...TARGETS.retry] as const).map(
      (state): [Shown, number] => [state, line.counts[state] ?? 0]
    ),
    ['BLOCKED', line.blocked]
  ];
  return counts
    .filter(([, n]) => n)
    .map(([state, n]) => `${number(n)} ${words[state]}`)
    .join(', ');
}

/** Notifications that are shown, by the folder of their queue. */
const shown = new Map<string, { id: string; what: News }>();

/** Take the notification of a queue away. */
function dismiss(folder: string): void {
  const earlier = shown.get(folder);
  if (earlier) {
    Notification.dismiss(earlier.id);
    shown.delete(folder);
  }
}

/** Take notifications of queues away that are no longer listed. */
export function dismissOthers(lines: readonly IListedQueue[]): void {
  const listed = new Set(lines.map(({ folder }) => folder));
  [...shown.keys()].filter(folder => !listed.has(folder)).forEach(dismiss);
}

/**
 * Say what there is to say. It takes the place of what was said of the same queue before; that goes too when nothing is failed any more, and what was
 * said of the end when the queue runs again.
 */
export function notify(
  change: IChange,
  settings: ISettings,
  show: (line: IListedQueue) => void,
  trans: TranslationBundle
): void {
  const { now } = change;
  const what = news(change);
  const earlier = shown.get(now.folder)?.what ?? 'failure';
  const hasBegun = earlier !== 'failure' && now.left > 0;
  if (what || hasBegun || !bad(now)) {
    dismiss(now.folder);
  }
  if (
    !what ||
    !(what === 'failure' ? settings.notifyFailure : settings.notifyCompletion)
  ) {
    return;
  }
  const actions = [{ label: trans.__('Show'), callback: () => show(now) }];
  shown.set(now.folder, { id: emit(what, now, actions, trans), what });
}

/** Show a notification and return its identity. */
function emit(
  what: News,
  now: IListedQueue,
  actions: Notification.IAction[],
  trans: TranslationBundle
): string {
  if (what === 'done') {
    return Notification.success(
      trans._n(
        '%3 finished: %2 task succeeded.',
        '%3 finished: all %2 tasks succeeded.',
        now.total,
        number(now.total),
        now.queue
      ),
      {
        actions,
        autoClose: 5000
      }
    );
  }
  if (what === 'failed') {
    return Notification.warning(
      trans.__('%1 finished: %2.', now.queue, outcome(now, trans)),
      { actions, autoClose: false }
    );
  }
  return Notification.warning(
    trans._n(
      '%3: %2 task did not succeed.',
      '%3: %2 tasks did not succeed.',
      bad(now),
      number(bad(now)),
      now.queue
    ),
    { actions, autoClose: 10_000 }
  );
}
