/**
 * Numbers and times as people read them: as Python writes them too, see tests/views/formats.json.
 */
import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** A time that passes: `0:08`, `12:05`, `3:00:00`, `2 d 3 h`. */
export function clock(seconds: number, trans: TranslationBundle): string {
  const total = Math.max(0, Math.round(seconds));
  const [h, m, s] = [total / 3600, (total / 60) % 60, total % 60].map(
    Math.floor
  );
  const two = (n: number) => n.toString().padStart(2, '0');
  if (h >= 24) {
    return trans.__('%1 d %2 h', number(Math.floor(h / 24)), h % 24);
  }
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time that has passed: `363 µs`, `12.3 s`, `3 min 5 s`, `2 h 10 min`, `2 d 3 h`. */
export function duration(seconds: number, trans: TranslationBundle): string {
  if (seconds < 59.95) {
    return shortDuration(seconds, trans);
  }
  const [total, minutes, hours] = [1, 60, 3600].map(unit =>
    Math.round(seconds / unit)
  );
  if (total < 3600) {
    return trans.__('%1 min %2 s', Math.floor(total / 60), total % 60);
  }
  return minutes < 1440
    ? trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60)
    : trans.__('%1 d %2 h', number(Math.floor(hours / 24)), hours % 24);
}

function shortDuration(seconds: number, trans: TranslationBundle): string {
  if (seconds <= 0) {
    return trans.__('0 s'); // by clocks that were set back
  }
  if (seconds < 0.0009995) {
    return trans.__('%1 µs', number(seconds * 1e6));
  }
  return seconds < 0.09995
    ? trans.__('%1 ms', significant(seconds * 1000))
    : trans.__('%1 s', fixed(seconds));
}

/** How long something may go on, coarsely: `9 min left`. */
export function timeLeft(seconds: number, trans: TranslationBundle): string {
  if (seconds <= 0) {
    return trans.__('time is up');
  }
  const minutes = Math.round(seconds / 60);
  return trans.__(
    '%1 left',
    seconds < 100
      ? trans.__('%1 s', number(seconds))
      : minutes < 100
        ? trans.__('%1 min', number(minutes))
        : duration(seconds, trans)
  );
}

/** How many tasks end in a time: `0.8 tasks/s`, `360 tasks/h`. */
export function pace(rate: number, trans: TranslationBundle): string {
  const perSecond = rate >= 0.0995;
  const text =
    rate >= 9.95
      ? number(rate)
      : significant(perSecond ? rate : 3600 * rate, 2);
  const n = text === '1' ? 1 : 2;
  return perSecond
    ? trans._n('%2 task/s', '%2 tasks/s', n, text)
    : trans._n('%2 task/h', '%2 tasks/h', n, text);
}

/** How many processors are at work: `1.9 CPUs`. */
export function processors(n: number, trans: TranslationBundle): string {
  const text = number(n, 1);
  return trans._n('%2 CPU', '%2 CPUs', text === '1' ? 1 : 2, text);
}

/** A number with the separators of the reader's language. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}

function fixed(value: number): string {
  return value.toLocaleString(undefined, {
    minimumFractionDigits: 1,
    maximumFractionDigits: 1
  });
}

/** A number of which only the first digits count: `0.125`, `1,230`. */
export function significant(value: number, digits = 3): string {
  return value.toLocaleString(undefined, { maximumSignificantDigits: digits });
}

/** A size: `512 B`, `3.2 MB`. */
export function bytes(size: number, trans: TranslationBundle): string {
  if (size < 1000) {
    return trans.__('%1 B', number(size));
  }
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let unit = 0;
  size /= 1000;
  while (size >= 999.95 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return trans.__('%1 %2', fixed(size), units[unit]);
}

/** A moment, seen from now: `2 hours ago`. */
export function ago(time: number): string {
  return Time.formatHuman(new Date(time * 1000));
}

/** A moment: the time, and the day unless it is today; `short` where there is little room. */
export function moment(
  time: number,
  style: 'short' | 'medium' = 'medium',
  now: number = Date.now()
): string {
  const date = new Date(time * 1000);
  return date.toDateString() === new Date(now).toDateString()
    ? date.toLocaleTimeString(undefined, { timeStyle: style })
    : date.toLocaleString(undefined, { dateStyle: style, timeStyle: style });
}
