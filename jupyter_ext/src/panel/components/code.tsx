/**
 * Code and tracebacks, with the line that failed.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

/** Puts highlighted code into a node. */
export type Highlight = (code: string, node: HTMLElement) => Promise<void>;

/** Code in colours; the line that failed is marked. */
export function Code({
  code,
  line,
  highlight,
  trans
}: {
  code: string;
  /** The line that failed, from 1 on; `null` if none is known. */
  line: number | null;
  highlight: Highlight;
  trans: TranslationBundle;
}): JSX.Element {
  const lines = code.split('\n');
  const isKnown = line !== null && line <= lines.length;
  const parts = isKnown
    ? [
        lines.slice(0, line - 1).join('\n'),
        lines[line - 1],
        lines.slice(line).join('\n')
      ]
    : [code];
  return (
    <pre className="jp-desipipe-code cm-s-jupyter" tabIndex={0}>
      {parts.map((part, i) =>
        isKnown && i === 1 ? (
          <mark key={i} aria-label={trans.__('This line failed')}>
            <Coloured code={part} highlight={highlight} />
          </mark>
        ) : part || parts.length === 1 ? (
          <div key={i}>
            <Coloured code={part} highlight={highlight} />
          </div>
        ) : null
      )}
    </pre>
  );
}

function Coloured({
  code,
  highlight
}: {
  code: string;
  highlight: Highlight;
}): JSX.Element {
  const node = React.useRef<HTMLElement>(null);
  React.useEffect(() => {
    const target = document.createTextNode(code);
    node.current?.replaceChildren(target);
    // What is very long is shown as it is: to colour it would take longer than to read it.
    if (code.length < 50_000) {
      const coloured = document.createElement('span');
      void highlight(code, coloured).then(() => {
        if (target.isConnected && coloured.textContent === code) {
          target.replaceWith(coloured);
        }
      });
    }
  }, [code, highlight]);
  return <code ref={node} />;
}
