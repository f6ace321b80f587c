/**
 * The list of tasks: only what is seen is in the page, only what is near was asked for.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { useVirtualizer } from '@tanstack/react-virtual';
import React from 'react';

import { stateWords } from '../../components/status';
import { duration } from '../../format';
import { ITaskRow, label } from '../tokens';
import { shownState, StateSymbol } from './bits';

/** Height of a line, px; also in panel.css. */
const HEIGHT = 24;

/** Properties of {@link TaskList}. */
export interface ITaskListProps {
  /** How many there are; `null`: not known yet. */
  total: number | null;
  /** What is shown is of before, the answer is on its way. */
  busy: boolean;
  get: (place: number) => ITaskRow | undefined;
  /** Someone looks at these places. */
  onRange: (first: number, last: number) => void;
  onOpen: (task: ITaskRow) => void;
  /** Tasks that are selected, by identity. */
  selected?: ReadonlyMap<string, ITaskRow>;
  /** One task more or less is to be selected, or several more. */
  onSelect?: (tasks: readonly ITaskRow[]) => void;
  /** No task is to be selected any more. */
  onClear?: () => void;
  /** What is said where there is nothing. */
  empty: string;
  trans: TranslationBundle;
}

/** A list of any length. */
export function TaskList(props: ITaskListProps): JSX.Element {
  const { total, onRange, trans } = props;
  const scroller = React.useRef<HTMLDivElement>(null);
  const [active, setActive] = React.useState(0);
  const way = React.useRef(0); // of the last move with Shift: 1 down, -1 up
  const id = React.useId();
  const rows = useVirtualizer({
    count: total ?? 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHT,
    overscan: 8,
    // A frame later is soon enough, and costs half as much.
    useFlushSync: false
  });
  const words = React.useMemo(() => stateWords(trans), [trans]);
  const items = rows.getVirtualItems();
  const first = items.length ? items[0].index : 0;
  const last = items.length ? items[items.length - 1].index : 0;
  React.useEffect(() => onRange(first, last), [first, last, onRange]);
  const current = Math.min(active, Math.max(0, (total ?? 1) - 1));

  const move = (place: number) => {
    const next = Math.max(0, Math.min((total ?? 1) - 1, place));
    setActive(next);
    rows.scrollToIndex(next, { align: 'auto' });
  };
  /** With Shift a move selects all up to its end; the way back leaves them out again. */
  const extend = (task: ITaskRow, place: number) => {
    const next = props.get(place);
    const step = place - current;
    if (step === -way.current && next && props.selected?.has(next.tid)) {
      props.onSelect?.([task]);
    } else if (next) {
      way.current = Math.sign(step);
      props.onSelect?.(between(place));
    }
  };
  const between = (place: number) => {
    const [low, high] = [Math.min(current, place), Math.max(current, place)];
    return Array.from({ length: high - low + 1 }, (_, i) =>
      props.get(low + i)
    ).filter((task): task is ITaskRow => !!task);
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const page = Math.max(
      1,
      Math.floor((scroller.current?.clientHeight ?? 0) / HEIGHT) - 1
    );
    const moves: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + page,
      PageUp: current - page,
      Home: 0,
      End: (total ?? 1) - 1
    };
    const task = props.get(current);
    if (event.key === 'Escape' && props.selected?.size) {
      props.onClear?.();
    } else if (event.key === ' ' && event.ctrlKey && task) {
      props.onSelect?.([task]);
    } else if (event.key in moves) {
      const place = moves[event.key];
      if (event.shiftKey && task) {
        extend(task, place);
      } else {
        way.current = 0;
      }
      move(place);
    } else if ((event.key === 'Enter' || event.key === ' ') && task) {
      props.onOpen(task);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  /** With the key Ctrl (or ⌘) a click selects one more, with Shift all up to it. */
  const onClick = (place: number, task: ITaskRow, event: React.MouseEvent) => {
    if (event.shiftKey && props.onSelect) {
      const some = between(place);
      props.onSelect(some.length === 1 ? [task] : some);
    } else if ((event.ctrlKey || event.metaKey) && props.onSelect) {
      props.onSelect([task]);
    } else {
      props.onOpen(task);
    }
    setActive(place);
  };

  // Lines that stay what they are call what is done now, not what was done when they were drawn.
  const latest = React.useRef(onClick);
  latest.current = onClick;
  const onLine: ILineProps['onClick'] = React.useCallback(
    (place, task, event) => latest.current(place, task, event),
    []
  );

  /** The menu key opens the menu of the line that is current, not that of the list, which has the focus. */
  const onContextMenu = (event: React.MouseEvent) => {
    const line =
      event.target === scroller.current &&
      document.getElementById(`${id}${current}`);
    if (line) {
      event.preventDefault();
      event.stopPropagation();
      const { left, bottom } = line.getBoundingClientRect();
      line.dispatchEvent(
        new MouseEvent('contextmenu', {
          bubbles: true,
          cancelable: true,
          clientX: left,
          clientY: bottom
        })
      );
    }
  };

  if (total === 0) {
    return <div className="jp-desipipe-empty">{props.empty}</div>;
  }
  return (
    <div
      ref={scroller}
      className="jp-desipipe-tasks"
      role="listbox"
      tabIndex={0}
      aria-label={trans.__('Tasks')}
      aria-multiselectable={!!props.onSelect}
      aria-busy={props.busy || total === null}
      aria-activedescendant={props.get(current) ? `${id}${current}` : undefined}
      onKeyDown={onKeyDown}
      onContextMenu={onContextMenu}
    >
      <div role="presentation" style={{ height: rows.getTotalSize() }}>
        {items.map(item => (
          <TaskLine
            key={item.index}
            id={`${id}${item.index}`}
            place={item.index}
            total={total ?? 0}
            top={item.start}
            task={props.get(item.index)}
            active={item.index === current}
            selected={
              props.selected?.size
                ? props.selected.has(props.get(item.index)?.tid ?? '')
                : item.index === current
            }
            onClick={onLine}
            words={words}
            trans={trans}
          />
        ))}
      </div>
    </div>
  );
}

/** Properties of {@link TaskLine}. */
export interface ILineProps {
  id: string;
  place: number;
  total: number;
  top: number;
  task: ITaskRow | undefined;
  active: boolean;
  selected: boolean;
  onClick: (place: number, task: ITaskRow, event: React.MouseEvent) => void;
  words: ReturnType<typeof stateWords>;
  trans: TranslationBundle;
}

/** A task in the list; while one scrolls, nearly all lines stay what they are. */
export const TaskLine = React.memo(
  function TaskLine({ task, trans, words, ...props }: ILineProps): JSX.Element {
    const state = task && shownState(task);
    const more = task && (task.cause || facts(task, trans));
    return (
      <div
        id={props.id}
        role="option"
        aria-selected={props.selected}
        data-active={props.active || undefined}
        aria-setsize={props.total}
        aria-posinset={props.place + 1}
        aria-label={
          task && state
            ? `${label(task)}, ${words[state] ?? task.state}${more ? `, ${more}` : ''}`
            : trans.__('loading')
        }
        className="jp-desipipe-task"
        data-tid={task?.tid}
        data-shown={state}
        style={{ transform: `translateY(${props.top}px)` }}
        title={
          task && state
            ? [
                label(task),
                task.arguments_text,
                words[state] ?? task.state,
                more
              ]
                .filter(part => part)
                .join(' · ')
            : undefined
        }
        onClick={event => task && props.onClick(props.place, task, event)}
      >
        {task && state && (
          <>
            <StateSymbol state={state} />
            <span className="jp-desipipe-name">{label(task)}</span>
            {task.arguments_text && (
              <span className="jp-desipipe-arguments">
                {task.arguments_text}
              </span>
            )}
            <span className="jp-desipipe-more">{task.cause || task.host}</span>
            {!task.cause && task.duration !== null && (
              <span className="jp-desipipe-took">
                {duration(task.duration, trans)}
              </span>
            )}
          </>
        )}
      </div>
    );
  },
  (a, b) =>
    a.task === b.task &&
    a.top === b.top &&
    a.active === b.active &&
    a.selected === b.selected &&
    a.total === b.total &&
    a.id === b.id
);

function facts(task: ITaskRow, trans: TranslationBundle): string {
  const parts = [task.host];
  if (task.duration !== null) {
    parts.push(duration(task.duration, trans));
  }
  return parts.filter(part => part).join(' · ');
}
