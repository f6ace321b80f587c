/**
 * What a task displayed: figures, tables and the like, each opened when it is asked for.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { TrustNote } from '../../components/trust';
import { bytes } from '../../format';
import type { IDisplayList, IDisplayView } from '../tokens';

/** Asks the server for displays. */
export interface IDisplaySource {
  list: () => Promise<IDisplayList>;
  open: (number: number) => Promise<Record<string, unknown>>;
}

/** Properties of {@link Displays}. */
export interface IDisplaysProps {
  source: IDisplaySource;
  /** Another one where there may be other displays. */
  version: string;
  /** The command that writes them to files. */
  command: string;
  /** Trust a user, once the reader is sure; whether that was done. */
  onTrust?: (user: string) => Promise<boolean>;
  trans: TranslationBundle;
}

const NOTHING: IDisplayList = { displays: [], total: 0, untrusted: '' };
const IMAGES = ['image/png', 'image/jpeg', 'image/gif'];
/** Figures and tables that are opened at once: the first ones, unless they are large (bytes). */
const OPEN = 4;
const SMALL = 500_000;
const SEEN = [...IMAGES, 'image/svg+xml', 'text/html'];

/** All displays of a task. */
export function Displays(props: IDisplaysProps): JSX.Element | null {
  const { source, version, command, trans } = props;
  const [{ displays, untrusted }, setFound] =
    React.useState<IDisplayList>(NOTHING);
  const [asked, setAsked] = React.useState(0);
  React.useEffect(() => {
    let wanted = true;
    source.list().then(
      found => wanted && setFound(found),
      () => wanted && setFound(NOTHING) // the page says what is wrong with the task
    );
    return () => {
      wanted = false;
    };
  }, [version, asked]);
  if (!displays.length) {
    return null;
  }
  return (
    <section
      className="jp-desipipe-section"
      aria-label={trans.__('Figures and tables')}
    >
      <h3>{trans.__('Figures and tables')}</h3>
      {untrusted && (
        <TrustNote
          user={untrusted}
          onTrust={async () => {
            if (await props.onTrust?.(untrusted)) {
              setAsked(asked + 1);
            }
          }}
          trans={trans}
        />
      )}
      {displays.map(display => (
        <Display
          key={`${version} ${untrusted ?? ''} ${display.number}`}
          display={display}
          source={source}
          trans={trans}
        />
      ))}
      <div className="jp-desipipe-note">
        {trans.__('Save all of them as files:')} <code>{command}</code>
      </div>
    </section>
  );
}

function Display(props: {
  display: IDisplayView;
  source: IDisplaySource;
  trans: TranslationBundle;
}): JSX.Element {
  const { display, source, trans } = props;
  const [data, setData] = React.useState<Record<string, unknown> | null>(null);
  const [problem, setProblem] = React.useState('');
  const kinds = Object.entries(display.kinds).filter(
    ([kind], _, all) => kind !== 'text/plain' || all.length === 1
  );
  const name = kinds.some(([kind]) => kind.startsWith('image/'))
    ? trans.__('Figure %1', display.number + 1)
    : trans.__('Display %1', display.number + 1);
  const words = kinds.map(([kind, size]) => `${kind} (${bytes(size, trans)})`);
  const atOnce =
    display.number < OPEN &&
    kinds.some(([kind, size]) => SEEN.includes(kind) && size <= SMALL);
  const load = () => {
    if (!data) {
      source
        .open(display.number)
        .then(setData, error => setProblem(`${error}`));
    }
  };
  React.useEffect(() => {
    if (atOnce) {
      load();
    }
  }, []);
  return (
    <details
      open={atOnce || undefined}
      onToggle={event => event.currentTarget.open && load()}
    >
      <summary>
        {name}: {words.join(', ')}
      </summary>
      {problem && <p role="alert">{problem}</p>}
      {data && <Content data={data} name={name} />}
    </details>
  );
}

/**
 * Height (em) of what cannot be measured, as no script runs in it: by its rows, or much where that
 * says nothing.
 */
export function sandboxHeight(html: string): number {
  if (/<(svg|img|canvas|script|iframe|object|video)\b/i.test(html)) {
    return 30;
  }
  const rows = html.match(/<(tr|li|p|div|pre|br|hr|h[1-6])\b/gi)?.length ?? 0;
  const lines = /<pre\b/i.test(html) ? html.split('\n').length : 0;
  return Math.min(30, 4 + 1.8 * (rows + lines));
}

/** The richest form that can be shown without running anything of it. */
function Content(props: {
  data: Record<string, unknown>;
  name: string;
}): JSX.Element {
  const { data, name } = props;
  const image = IMAGES.find(kind => typeof data[kind] === 'string');
  if (image) {
    const source = `data:${image};base64,${`${data[image]}`.replace(/\s/g, '')}`;
    return <img alt={name} src={source} style={{ maxWidth: '100%' }} />;
  }
  if (typeof data['image/svg+xml'] === 'string') {
    const source = `data:image/svg+xml,${encodeURIComponent(data['image/svg+xml'])}`;
    return <img alt={name} src={source} style={{ maxWidth: '100%' }} />;
  }
  if (typeof data['text/html'] === 'string') {
    // Sandboxed: no script of it runs, and it reaches nothing of the page.
    return (
      <iframe
        title={name}
        sandbox=""
        srcDoc={data['text/html']}
        className="jp-desipipe-sandbox"
        style={{ height: `${sandboxHeight(data['text/html'])}em` }}
      />
    );
  }
  const text = data['text/plain'] ?? JSON.stringify(data, null, 1);
  return <pre className="jp-desipipe-code">{`${text}`.slice(0, 200_000)}</pre>;
}
