/**
 * What a task printed, line by line, followed while it grows.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { number } from '../../format';

/** Lines that are one piece of the page: only the last piece changes when lines are added. */
const PIECE = 200;

/** Properties of {@link LogView}. */
export interface ILogViewProps {
  title: string;
  lines: readonly string[];
  dropped: number;
  /** The command that shows all of it. */
  command: string;
  running: boolean;
  trans: TranslationBundle;
}

/** A stream. */
export function LogView(props: ILogViewProps): JSX.Element | null {
  const { lines, dropped, trans } = props;
  const scroller = React.useRef<HTMLPreElement>(null);
  const stick = React.useRef(true);
  React.useLayoutEffect(() => {
    const node = scroller.current;
    if (node && stick.current) {
      node.scrollTop = node.scrollHeight;
    }
  }, [lines]);
  if (!lines.length) {
    return null;
  }
  const pieces: [number, string][] = [];
  for (let start = 0; start < lines.length;) {
    // By their number from the very first line on, so that a piece stays what it is when lines are dropped before it.
    const number = Math.floor((dropped + start) / PIECE);
    const end = (number + 1) * PIECE - dropped;
    pieces.push([number, lines.slice(start, end).join('\n') + '\n']);
    start = end;
  }
  return (
    <section className="jp-desipipe-section" aria-label={props.title}>
      <h3>
        {props.title}{' '}
        {props.running && (
          <span className="jp-desipipe-aside">{trans.__('is followed')}</span>
        )}
      </h3>
      {dropped > 0 && (
        <div className="jp-desipipe-note">
          {trans._n(
            '%2 line before these is not shown here:',
            '%2 lines before these are not shown here:',
            dropped,
            number(dropped)
          )}{' '}
          <code>{props.command}</code>
        </div>
      )}
      <pre
        ref={scroller}
        className="jp-desipipe-log"
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={props.title}
        onScroll={event => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          stick.current = scrollTop + clientHeight > scrollHeight - 20;
        }}
      >
        {pieces.map(([number, text]) => (
          <Piece key={number} text={text} />
        ))}
      </pre>
    </section>
  );
}

const Piece = React.memo(function Piece({ text }: { text: string }) {
  return <span>{text}</span>;
});
