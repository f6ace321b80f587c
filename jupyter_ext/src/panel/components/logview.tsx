/**
 * Output of a task, line by line: live while it grows, with search, copy and download.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { moment, number } from '../../format';
import { save } from '../save';
import { Link } from './bits';

/** Lines that are one piece of the page: only the last piece changes when lines are added. */
const PIECE = 200;

/** One of the streams of a task. */
export interface ILog {
  lines: readonly string[];
  /** When each of them came (s since the epoch), as far as that is known. */
  times: readonly (number | null)[];
  /** Lines before these that are not shown. */
  dropped: number;
  /** The attempt that they are of; 0: the last one. */
  attempt: number;
  /** All of it, also what is not shown. */
  all: () => Promise<string>;
}

/** Properties of {@link LogView}. */
export interface ILogViewProps {
  title: string;
  log: ILog;
  /** Name of the file into which it is saved. */
  file: string;
  /** The command that shows all of it. */
  command: string;
  running: boolean;
  trans: TranslationBundle;
}

/** Whether someone wants to see times: of the task that is shown next, too. */
let showsTimes = false;

/** A stream. */
export function LogView(props: ILogViewProps): JSX.Element | null {
  const { title, log, running, trans } = props;
  const [search, setSearch] = React.useState('');
  const [timed, setTimed] = React.useState(showsTimes);
  if (!log.lines.length) {
    return null;
  }
  const hasTimes = log.times.some(time => time !== null);
  const isTimed = timed && hasTimes;
  return (
    <section className="jp-desipipe-section" aria-label={title}>
      <div className="jp-desipipe-row">
        <h3>
          {title}{' '}
          {running && (
            <span className="jp-desipipe-aside">{trans.__('(live)')}</span>
          )}
        </h3>
        <span className="jp-desipipe-space" />
        <Tools
          {...props}
          search={search}
          onSearch={setSearch}
          timed={timed}
          hasTimes={hasTimes}
          onTimed={timed => {
            showsTimes = timed;
            setTimed(timed);
          }}
        />
      </div>
      {log.dropped > 0 && (
        <div className="jp-desipipe-note">
          {trans._n(
            '%2 earlier line not shown. Full log:',
            '%2 earlier lines not shown. Full log:',
            log.dropped,
            number(log.dropped)
          )}{' '}
          <code>{props.command}</code>
        </div>
      )}
      {search ? (
        <Matches {...props} search={search} timed={isTimed} />
      ) : (
        <Lines {...props} timed={isTimed} />
      )}
    </section>
  );
}

function Tools(
  props: ILogViewProps & {
    search: string;
    onSearch: (text: string) => void;
    timed: boolean;
    hasTimes: boolean;
    onTimed: (timed: boolean) => void;
  }
): JSX.Element {
  const { title, log, file, trans } = props;
  const [problem, setProblem] = React.useState('');
  const take = (use: (text: string) => unknown) =>
    void log
      .all()
      .then(use)
      .then(
        () => setProblem(''),
        error => setProblem(`${error}`)
      );
  return (
    <>
      {problem && <span role="alert">{problem}</span>}
      {props.hasTimes && (
        <label
          title={trans.__('When each line came, while this page was open')}
        >
          <input
            type="checkbox"
            checked={props.timed}
            onChange={event => props.onTimed(event.target.checked)}
          />{' '}
          {trans.__('Times')}
        </label>
      )}
      <input
        type="search"
        className="jp-desipipe-search"
        placeholder={trans.__('search…')}
        aria-label={trans.__('Search in %1', title)}
        value={props.search}
        onChange={event => props.onSearch(event.target.value)}
      />
      <Link
        title={trans.__('Copy all of it to the clipboard')}
        onClick={() => take(text => navigator.clipboard.writeText(text))}
      >
        {trans.__('Copy')}
      </Link>
      <Link
        title={trans.__('Save all of it as a file')}
        onClick={() =>
          take(text => save(new Blob([text], { type: 'text/plain' }), file))
        }
      >
        {trans.__('Download')}
      </Link>
    </>
  );
}

/** A line with the time at which it came; blanks where that is not known. */
function timedLine({ lines, times }: ILog, i: number): string {
  const time = times[i] ?? null;
  return `${(time === null ? '' : moment(time)).padEnd(11)} ${lines[i]}`;
}

/** The lines that hold a text, with their numbers. */
function Matches({
  log,
  search,
  timed,
  title,
  trans
}: ILogViewProps & { search: string; timed: boolean }): JSX.Element {
  const text = search.toLowerCase();
  const lines = log.lines
    .map((line, i): [number, string] => [i, line])
    .filter(([, line]) => line.toLowerCase().includes(text));
  return (
    <>
      <div className="jp-desipipe-note" role="status">
        {trans._n(
          '%2 matching line',
          '%2 matching lines',
          lines.length,
          number(lines.length)
        )}
      </div>
      <pre className="jp-desipipe-log" tabIndex={0} aria-label={title}>
        {lines.map(([i, line]) => (
          <div key={i}>
            <span className="jp-desipipe-place">{log.dropped + i + 1}</span>{' '}
            {timed ? timedLine(log, i) : line}
          </div>
        ))}
      </pre>
    </>
  );
}

function Lines({
  title,
  log,
  timed
}: ILogViewProps & { timed: boolean }): JSX.Element {
  const { lines, dropped } = log;
  const scroller = React.useRef<HTMLPreElement>(null);
  const stick = React.useRef(true);
  React.useLayoutEffect(() => {
    const node = scroller.current;
    if (node && stick.current) {
      node.scrollTop = node.scrollHeight;
    }
  }, [lines]);
  const pieces: [number, string][] = [];
  for (let start = 0; start < lines.length;) {
    // By their number from the very first line on, so that a piece stays what it is when lines are dropped before it.
    const number = Math.floor((dropped + start) / PIECE);
    const end = (number + 1) * PIECE - dropped;
    const shown = timed
      ? lines.slice(start, end).map((_, i) => timedLine(log, start + i))
      : lines.slice(start, end);
    pieces.push([number, shown.join('\n') + '\n']);
    start = end;
  }
  return (
    <pre
      ref={scroller}
      className="jp-desipipe-log"
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label={title}
      onScroll={event => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        stick.current = scrollTop + clientHeight > scrollHeight - 20;
      }}
    >
      {pieces.map(([number, text]) => (
        <Piece key={number} text={text} />
      ))}
    </pre>
  );
}

const Piece = React.memo(function Piece({ text }: { text: string }) {
  return <span>{text}</span>;
});
