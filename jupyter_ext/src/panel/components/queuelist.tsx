/**
 * All queues, one of them open.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  closeIcon,
  ellipsesIcon,
  pauseIcon,
  refreshIcon,
  runIcon,
  settingsIcon
} from '@jupyterlab/ui-components';
import React from 'react';

import { moment, number } from '../../format';
import { COMMANDS, IListedQueue } from '../tokens';
import {
  bad,
  Banner,
  conditionSymbol,
  conditionWords,
  Link,
  refusal,
  Symbol
} from './bits';

/** Above so many queues, they can be searched. */
const LONG = 8;

/** What one types in a notebook. */
const EXAMPLE = '%load_ext desipipe\n%desipipe use my_queue';

/** What one types in a terminal. */
const SERVE_FOLDER = 'desipipe serve FOLDER';

/** Properties of {@link QueueList}. */
export interface IQueueListProps {
  lines: readonly IListedQueue[] | null;
  /** Why the server did not say which there are. */
  problem: string;
  /** The server gives no answer. */
  lost: boolean;
  /** When it did last (ms since the epoch). */
  heard: number;
  /** Folder of the queue that is open. */
  open: string | null;
  /** Folders of the queues that the notebook in front uses: on top. */
  front?: ReadonlySet<string>;
  /** Why other queues that it uses are not shown. */
  refusals?: readonly string[];
  onToggle: (folder: string) => void;
  onDismiss: (folder: string) => void;
  onCommand: (command: string, line?: IListedQueue) => void;
  /** `null` where there are no settings. */
  onSettings: (() => void) | null;
  onMenu: (line: IListedQueue, button: HTMLElement) => void;
  /** What is shown of the one that is open. */
  children: (line: IListedQueue) => React.ReactNode;
  trans: TranslationBundle;
}

/** The whole panel. */
export function QueueList(props: IQueueListProps): JSX.Element {
  const { lines, front, trans } = props;
  const [search, setSearch] = React.useState('');
  const isLong = (lines?.length ?? 0) > LONG;
  const text = isLong ? search.trim().toLowerCase() : '';
  const found = lines?.filter(
    line =>
      line.folder === props.open || line.queue.toLowerCase().includes(text)
  );
  const used = found?.filter(line => front?.has(line.folder)) ?? [];
  const others = found?.filter(line => !front?.has(line.folder)) ?? [];
  const queue = (line: IListedQueue) => (
    <Queue key={line.folder} {...props} line={line} />
  );
  return (
    <>
      <div className="jp-desipipe-header">
        <h2>{trans.__('desipipe')}</h2>
        <button
          type="button"
          className="jp-desipipe-icon"
          title={trans.__('Refresh queues')}
          aria-label={trans.__('Refresh')}
          onClick={() => props.onCommand(COMMANDS.refresh)}
        >
          <refreshIcon.react tag="span" height="16px" width="16px" />
        </button>
        {props.onSettings && (
          <button
            type="button"
            className="jp-desipipe-icon"
            title={trans.__('Open the settings')}
            aria-label={trans.__('Settings')}
            onClick={props.onSettings}
          >
            <settingsIcon.react tag="span" height="16px" width="16px" />
          </button>
        )}
      </div>
      <Trouble {...props} />
      {lines === null && !props.problem && !props.lost && (
        <div className="jp-desipipe-empty">{trans.__('Loading queues…')}</div>
      )}
      {lines?.length === 0 && (
        <div className="jp-desipipe-empty">
          <p>{trans.__('No queues yet.')}</p>
          <p>{trans.__('Create one from a notebook:')}</p>
          <pre>{EXAMPLE}</pre>
          <OtherFolders {...props} />
        </div>
      )}
      {isLong && (
        <div className="jp-desipipe-filter jp-desipipe-find">
          <input
            type="search"
            aria-label={trans.__('Search queues')}
            placeholder={trans.__('search queues…')}
            value={search}
            onChange={event => setSearch(event.target.value)}
          />
        </div>
      )}
      {props.refusals?.map(text => (
        <Banner key={text}>
          {trans.__('This notebook uses a queue that is not shown here.')}{' '}
          {text}
        </Banner>
      ))}
      <ul className="jp-desipipe-queues">
        {used.length > 0 && (
          <li className="jp-desipipe-group">{trans.__('This notebook')}</li>
        )}
        {used.map(queue)}
        {used.length > 0 && others.length > 0 && (
          <li className="jp-desipipe-group">{trans.__('Other queues')}</li>
        )}
        {others.map(queue)}
      </ul>
    </>
  );
}

/** How to show queues of other folders. */
function OtherFolders({ onSettings, trans }: IQueueListProps): JSX.Element {
  return onSettings ? (
    <p>
      {trans.__('To show queues from other folders, add them in the')}{' '}
      <Link onClick={onSettings}>{trans.__('settings')}</Link>.
    </p>
  ) : (
    <>
      <p>
        {trans.__(
          'To show queues from other folders, end this server, and start it with them:'
        )}
      </p>
      <pre>{SERVE_FOLDER}</pre>
    </>
  );
}

function Trouble(props: IQueueListProps): JSX.Element | null {
  const { trans } = props;
  const retry = (
    <Link onClick={() => props.onCommand(COMMANDS.refresh)}>
      {trans.__('Retry now')}
    </Link>
  );
  if (props.lost) {
    return (
      <Banner action={retry}>
        {props.heard
          ? trans.__(
              'No connection to the server. Showing the state of %1; retrying…',
              moment(props.heard / 1000)
            )
          : trans.__('No connection to the server. Retrying…')}
      </Banner>
    );
  }
  return props.problem ? <Banner action={retry}>{props.problem}</Banner> : null;
}

function Queue(props: IQueueListProps & { line: IListedQueue }): JSX.Element {
  const { line, trans } = props;
  const open = line.folder === props.open;
  const words = conditionWords(trans)[line.condition];
  return (
    <li
      className="jp-desipipe-queue"
      data-folder={line.folder}
      data-condition={line.condition}
      data-open={open}
    >
      <div className="jp-desipipe-row">
        <button
          type="button"
          className="jp-desipipe-toggle jp-desipipe-name"
          aria-expanded={open}
          title={line.folder}
          onClick={() => props.onToggle(line.folder)}
        >
          <Symbol text={open ? '▾' : '▸'} /> {line.queue}
        </button>
        <span className="jp-desipipe-condition" title={words}>
          <Symbol text={conditionSymbol(line.condition)} /> {words}
        </span>
        {!open && !line.error && <Short line={line} trans={trans} />}
        {line.error ? (
          <button
            type="button"
            className="jp-desipipe-icon"
            title={trans.__('Hide until it reappears')}
            aria-label={trans.__('Hide %1', line.queue)}
            onClick={() => props.onDismiss(line.folder)}
          >
            <closeIcon.react tag="span" height="16px" width="16px" />
          </button>
        ) : (
          <>
            {(line.left > 0 || line.state === 'PAUSED') && <Pause {...props} />}
            <button
              type="button"
              className="jp-desipipe-icon"
              title={trans.__('More actions')}
              aria-label={trans.__('More of %1', line.queue)}
              aria-haspopup="menu"
              onClick={event => props.onMenu(line, event.currentTarget)}
            >
              <ellipsesIcon.react tag="span" height="16px" width="16px" />
            </button>
          </>
        )}
      </div>
      {open && props.children(line)}
    </li>
  );
}

/** How far it is, in few characters. */
function Short({
  line,
  trans
}: {
  line: IListedQueue;
  trans: TranslationBundle;
}): JSX.Element {
  const failed = bad(line);
  return (
    <span className="jp-desipipe-short">
      {failed > 0 && (
        <span
          className="jp-desipipe-count"
          data-state="FAILED"
          title={trans.__('%1 did not succeed', number(failed))}
        >
          <Symbol text="✕" /> {number(failed)}{' '}
        </span>
      )}
      {line.condition === 'done' || line.condition === 'empty'
        ? number(line.total)
        : `${number(line.counts.SUCCEEDED ?? 0)} / ${number(line.total)}`}
    </span>
  );
}

function Pause({
  line,
  onCommand,
  trans
}: IQueueListProps & { line: IListedQueue }): JSX.Element {
  const paused = line.state === 'PAUSED';
  const refused = refusal(line.untrusted, trans);
  return (
    <button
      type="button"
      className="jp-desipipe-icon"
      disabled={refused !== ''}
      title={
        refused ||
        (paused
          ? trans.__('Resume: start tasks, and workers if there are none')
          : trans.__('Pause: start no further tasks'))
      }
      aria-label={
        paused
          ? trans.__('Resume %1', line.queue)
          : trans.__('Pause %1', line.queue)
      }
      onClick={() => onCommand(paused ? COMMANDS.resume : COMMANDS.pause, line)}
    >
      {paused ? (
        <runIcon.react tag="span" height="16px" width="16px" />
      ) : (
        <pauseIcon.react tag="span" height="16px" width="16px" />
      )}
    </button>
  );
}
