/**
 * Numbers and times as people read them.
 */
import { Time } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';

/** A time that passes: `0:08`, `12:05`, `3:00:00`. */
export function clock(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const [h, m, s] = [total / 3600, (total / 60) % 60, total % 60].map(
    Math.floor
  );
  const two = (n: number) => n.toString().padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time that has passed: `0.3 s`, `25 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds: number, trans: TranslationBundle): string {
  if (seconds < 0.05) {
    return trans.__('< 0.1 s');
  }
  if (seconds < 9.95) {
    return trans.__('%1 s', number(seconds, 1));
  }
  const total = Math.round(seconds);
  if (total < 60) {
    return trans.__('%1 s', total);
  }
  const minutes = total < 3600 ? total / 60 : Math.round(total / 60);
  return total < 3600
    ? trans.__('%1 min %2 s', Math.floor(minutes), total % 60)
    : trans.__('%1 h %2 min', Math.floor(minutes / 60), minutes % 60);
}

/** A number with the separators of the reader's language. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString(undefined, { maximumFractionDigits: digits });
}

/** A size: `512 B`, `3.2 MB`. */
export function bytes(size: number, trans: TranslationBundle): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return trans.__(
    '%1 %2',
    number(size, size < 9.95 && unit ? 1 : 0),
    units[unit]
  );
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
