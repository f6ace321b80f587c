/**
 * What a task printed, as lines of text: never as anything else.
 */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import type { Api } from '../request';
import type { IOutputPiece } from './tokens';

/** What is shown at most: lines, characters of all of them, characters of one. */
const LINES = 5000;
const CHARACTERS = 1_000_000;
const LINE = 5000;

/** ms between two looks at what a running task prints: while it prints, and when it is silent. */
const PACE = [500, 2000];

/* eslint-disable no-control-regex -- these are what is looked for */
const ESCAPES =
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])/g;
const CONTROLS =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/* eslint-enable no-control-regex */

/**
 * A line as text: colours and movements of the cursor are left out, a bar that was drawn over and over is shown as it was last, and characters that can't be
 * seen, or that turn text around, are shown by a picture of them.
 */
export function shown(line: string): string {
  const cut = line.length - LINE;
  // A carriage return goes back to the beginning; only as much is looked at as can be shown.
  const last = line.endsWith('\r') ? line.slice(0, -1) : line;
  const text = last.slice(last.lastIndexOf('\r') + 1).slice(0, LINE);
  const clean = text
    .replace(ESCAPES, '')
    .replace(CONTROLS, c =>
      c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '\ufffd'
    );
  return cut > 0 ? `${clean} […]` : clean;
}

/** Lines, and when they came. */
interface IKnownLines {
  lines: readonly string[];
  times: readonly (number | null)[];
  dropped: number;
}

/** One of the two streams of a task. */
export class LogModel implements IDisposable {
  constructor(
    readonly api: Api,
    readonly folder: string,
    readonly tid: string,
    readonly stream: 'out' | 'err'
  ) {}

  /** Something that is shown has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The attempt whose output is read; 0: the last one. */
  get attempt(): number {
    return this._attempt;
  }

  set attempt(attempt: number) {
    if (attempt !== this._attempt) {
      this._attempt = attempt;
      this._offset = 0;
      this._part = '';
      this._clear();
      this._earlier = null;
      this._isLive = this._over = false;
      this._changed.emit();
      this.wake();
    }
  }

  /** Whole lines, and what the task has begun to print. */
  get lines(): readonly string[] {
    return this._tail ? [...this._lines, shown(this._tail)] : this._lines;
  }

  /** When each whole line came (s since the epoch); `null`: before anyone looked. */
  get times(): readonly (number | null)[] {
    return this._times;
  }

  /** How many lines came before these, and are not shown. */
  get dropped(): number {
    return this._dropped;
  }

  /** Whether nothing will be added. */
  get isOver(): boolean {
    return this._over;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this.visible = false;
    this._isDisposed = true;
    Signal.clearData(this);
  }

  /** Whether someone looks. */
  get visible(): boolean {
    return this._visible;
  }

  set visible(visible: boolean) {
    this._visible = visible;
    if (visible) {
      this.wake();
    } else {
      clearTimeout(this._timer);
    }
  }

  /** All that was printed so far, also what is not shown. */
  async all(): Promise<string> {
    let text = '';
    let piece: IOutputPiece | null = null;
    do {
      piece = await this._ask(piece?.offset ?? 0, piece?.part ?? '');
      text = piece.fresh ? piece.text : text + piece.text;
    } while (piece.more);
    return text;
  }

  /** There may be more. */
  wake(): void {
    if (this._visible && !this._busy) {
      clearTimeout(this._timer);
      void this._read();
    }
  }

  private async _read(): Promise<void> {
    this._busy = true;
    let pace = PACE[1];
    try {
      for (let more = true; more && this._visible;) {
        const attempt = this._attempt;
        const piece = await this._ask(this._offset, this._part);
        if (attempt !== this._attempt) {
          continue; // what is shown now is of another attempt
        }
        more = piece.more;
        const isNew = this._isLive;
        this._isLive ||= !more;
        pace = piece.text ? PACE[0] : pace;
        this._take(piece, isNew ? Date.now() / 1000 : null);
      }
    } catch {
      this._over = false; // the page of the task says what is wrong; here it is tried again
    }
    this._busy = false;
    if (this._visible && !this._over) {
      this._timer = setTimeout(() => this.wake(), pace);
    }
  }

  private _ask(offset: number, part: string): Promise<IOutputPiece> {
    return this.api.look<IOutputPiece>('log', {
      queue: this.folder,
      tid: this.tid,
      stream: this.stream,
      offset: `${offset}`,
      part,
      ...(this._attempt && { attempt: `${this._attempt}` })
    });
  }

  private _clear(): void {
    this._lines = [];
    this._times = [];
    this._tail = '';
    this._size = this._dropped = 0;
  }

  /** When a line came, by the number of lines before it: that of what was shown before the text was read anew, if it is the same. */
  private _time(place: number, line: string, now: number | null) {
    const { _earlier: earlier } = this;
    const before = earlier ? place - earlier.dropped : -1;
    return earlier?.lines[before] === line ? earlier.times[before] : now;
  }

  private _take(piece: IOutputPiece, now: number | null): void {
    if (piece.fresh) {
      const { _lines: lines, _times: times, _dropped: dropped } = this;
      this._earlier = lines.length ? { lines, times, dropped } : null;
      this._clear();
    }
    this._offset = piece.offset;
    this._part = piece.part;
    const changed = piece.text || piece.fresh || piece.over !== this._over;
    this._over = piece.over;
    const parts = piece.text.split('\n');
    // Of a line that does not end, its beginning and its end are enough: what is between is not shown.
    this._tail = (this._tail + parts[0]).slice(-LINE * 20);
    if (parts.length > 1) {
      const lines = [this._tail, ...parts.slice(1, -1)].map(shown);
      this._tail = parts[parts.length - 1].slice(-LINE * 20);
      const first = this._dropped + this._lines.length;
      const times = lines.map((line, i) => this._time(first + i, line, now));
      this._lines = this._lines.concat(lines);
      this._times = this._times.concat(times);
      this._size += lines.reduce((sum, line) => sum + line.length, 0);
      let drop = Math.max(0, this._lines.length - LINES);
      let size = 0;
      for (let i = 0; i < this._lines.length; i++) {
        if (i >= drop && this._size - size <= CHARACTERS) {
          drop = i;
          break;
        }
        size += this._lines[i].length;
      }
      this._lines = this._lines.slice(drop);
      this._times = this._times.slice(drop);
      this._size -= size;
      this._dropped += drop;
    }
    if (changed) {
      this._changed.emit();
    }
  }

  private _attempt = 0;
  private _busy = false;
  private _changed = new Signal<this, void>(this);
  private _dropped = 0;
  private _earlier: IKnownLines | null = null;
  private _isDisposed = false;
  private _isLive = false;
  private _lines: string[] = [];
  private _offset = 0;
  private _over = false;
  private _part = '';
  private _size = 0;
  private _tail = '';
  private _times: (number | null)[] = [];
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _visible = false;
}
