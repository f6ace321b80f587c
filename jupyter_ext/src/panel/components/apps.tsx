/**
 * The apps of a queue: how many tasks each has, how long they take, how many failed.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { duration, number } from '../../format';
import type { IAppView } from '../tokens';
import { Link, Symbol } from './bits';

/** ms between two questions while the queue changes. */
const PACE = 3000;

/** Properties of {@link Apps}. */
export interface IAppsProps {
  load: () => Promise<IAppView[]>;
  /** Another one when the queue has changed. */
  version: number;
  /** List the tasks of an app. */
  onApp: (name: string) => void;
  trans: TranslationBundle;
}

/** A table that is loaded when it is opened. */
export function Apps(props: IAppsProps): JSX.Element {
  const { trans } = props;
  const [open, setOpen] = React.useState(false);
  return (
    <section className="jp-desipipe-section" aria-label={trans.__('Apps')}>
      <h3>
        <button
          type="button"
          className="jp-desipipe-toggle"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          <Symbol text={open ? '▾' : '▸'} /> {trans.__('Apps')}
        </button>
      </h3>
      {open && <Table {...props} />}
    </section>
  );
}

function Table({ load, version, onApp, trans }: IAppsProps): JSX.Element {
  const [apps, setApps] = React.useState<IAppView[] | null>(null);
  const [problem, setProblem] = React.useState('');
  const asked = React.useRef(0);
  React.useEffect(() => {
    // At once at first; of many changes, the last is asked for.
    const wait = Math.max(0, asked.current + PACE - performance.now());
    const timer = setTimeout(() => {
      asked.current = performance.now();
      load().then(
        found => {
          setApps(found);
          setProblem('');
        },
        error => setProblem(`${error}`)
      );
    }, asked.current && wait);
    return () => clearTimeout(timer);
  }, [version]);
  return (
    <div className="jp-desipipe-scroll jp-desipipe-apps">
      {problem && <p role="alert">{problem}</p>}
      <AppTable apps={apps ?? []} onApp={onApp} trans={trans} />
    </div>
  );
}

/** A row for each app. */
export function AppTable({
  apps,
  onApp,
  trans
}: Pick<IAppsProps, 'onApp' | 'trans'> & {
  apps: readonly IAppView[];
}): JSX.Element {
  const hasFailures = apps.some(({ failed }) => failed > 0);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{trans.__('App')}</th>
          <th scope="col">{trans.__('Succeeded')}</th>
          {hasFailures && <th scope="col">{trans.__('Failed')}</th>}
          <th scope="col">{trans.__('Median')}</th>
        </tr>
      </thead>
      <tbody>
        {apps.map(app => (
          <tr key={app.name}>
            <td>
              <Link
                title={trans.__('Show these tasks')}
                onClick={() => onApp(app.name)}
              >
                {app.name}
              </Link>
            </td>
            <td className="jp-desipipe-right">
              {number(app.counts.SUCCEEDED ?? 0)} / {number(app.total)}
            </td>
            {hasFailures && (
              <td className="jp-desipipe-right" data-state="FAILED">
                {app.failed > 0 && (
                  <>
                    <Symbol text="✕" /> {number(app.failed)}
                  </>
                )}
              </td>
            )}
            <td className="jp-desipipe-right">
              {app.median === null ? '' : duration(app.median, trans)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
