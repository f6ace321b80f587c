import { MimeModel, RenderMimeRegistry } from '@jupyterlab/rendermime';
import { standardRendererFactories } from '@jupyterlab/rendermime/lib/factories';
import { nullTranslator } from '@jupyterlab/translation';
import type * as nbformat from '@jupyterlab/nbformat';
import { Widget } from '@lumino/widgets';

import { Follower, ITiming } from '../model';
import { CellDisplay, rendererFactory } from '../renderer';
import { ICellView, MIME_TYPE } from '../tokens';
import { done, example } from './example';
import { FakeServer, settle, until } from './server';

const TIMING: ITiming = {
  gather: 1,
  backoff: 1,
  patience: 4,
  interval: 1,
  linger: 1
};

/** What the browser does: tells whether something can be seen. */
class Observer {
  static all: Observer[] = [];
  constructor(readonly tell: IntersectionObserverCallback) {
    Observer.all.push(this);
  }
  observe(): void {}
  disconnect(): void {}
  see(isIntersecting: boolean): void {
    this.tell(
      [{ isIntersecting } as IntersectionObserverEntry],
      this as unknown as IntersectionObserver
    );
  }
}

const STREAM: nbformat.IOutput = {
  output_type: 'stream',
  name: 'stdout',
  text: 'plain \x1b[31mred\x1b[0m\n'
};
const HTML: nbformat.IOutput = {
  output_type: 'display_data',
  data: {
    'text/html': '<em>rich</em><img src="x" onerror="alert(1)">',
    'text/plain': 'poor'
  },
  metadata: {}
};
const ERROR: nbformat.IOutput = {
  output_type: 'error',
  ename: 'ValueError',
  evalue: 'bad',
  traceback: ['Traceback', '\x1b[31mValueError\x1b[0m: bad']
};

function label(tid: string): nbformat.IOutput {
  return {
    output_type: 'display_data',
    data: { 'text/plain': tid },
    metadata: { desipipe: { tid, label: `f[${tid}]`, arguments: 'size=3' } }
  };
}

function text(words: string): nbformat.IOutput {
  return { output_type: 'stream', name: 'stdout', text: `${words}\n` };
}

describe('CellDisplay', () => {
  let server: FakeServer;
  let registry: RenderMimeRegistry;
  let display: CellDisplay;

  beforeEach(() => {
    Observer.all = [];
    Object.assign(globalThis, { IntersectionObserver: Observer });
    server = new FakeServer();
    registry = new RenderMimeRegistry({
      initialFactories: standardRendererFactories
    });
    const follower = new Follower(server.api, TIMING);
    registry.addFactory(
      rendererFactory(registry, follower, nullTranslator),
      10
    );
    display = registry.createRenderer(MIME_TYPE) as CellDisplay;
    Widget.attach(display, document.body);
  });

  afterEach(() => {
    display.dispose();
  });

  function bundle(summary: ICellView, trusted = false): MimeModel {
    const data = {
      [MIME_TYPE]: summary as never,
      'text/html': '<b>static</b>',
      'text/plain': 'static'
    };
    return new MimeModel({ data, trusted });
  }

  async function show(summary: ICellView, trusted = false): Promise<void> {
    await display.renderModel(bundle(summary, trusted));
    await until(
      () => display.node.querySelector('.jp-desipipe-Status') !== null,
      'it is shown'
    );
    await settle();
  }

  const texts = (selector: string) =>
    [...display.node.querySelectorAll(selector)].map(node =>
      node.textContent?.trim()
    );

  it('is preferred to the HTML of the same bundle, trusted or not', () => {
    const { data } = bundle(example());
    for (const safe of ['any', 'ensure'] as const) {
      expect(registry.preferredMimeType(data, safe)).toBe(MIME_TYPE);
    }
  });

  it('shows outputs in order, by the usual renderers', async () => {
    await show(example({ outputs: [STREAM, HTML, ERROR] }));
    expect(texts('.jp-OutputArea-output')).toEqual([
      'plain red',
      'rich',
      'Traceback\nValueError: bad'
    ]);
    expect(texts('.ansi-red-fg')).toEqual(['red', 'ValueError']);
    expect(display.node.querySelector('[onerror]')).toBe(null);
  });

  it('keeps the line on top, also when all is done', async () => {
    const order = () =>
      display.widgets.map(widget =>
        widget.hasClass('jp-desipipe-outputs') ? 'outputs' : 'status'
      );
    await show(example({ outputs: [STREAM] }));
    expect(order()).toEqual(['status', 'outputs']);
    await show(done({ outputs: [STREAM], time: Date.now() / 1000 + 1 }));
    expect(order()).toEqual(['status', 'outputs']);
    expect(texts('.jp-desipipe-quiet')[0]).toContain('20 tasks');
  });

  it('folds the tasks of a sweep, and those that failed alike', async () => {
    const task = (i: number, state: string, output: nbformat.IOutput) => [
      {
        ...label(`${i}`),
        metadata: {
          desipipe: {
            ...{ tid: `${i}`, label: `f[${i}]`, arguments: `i=${i}` },
            ...{ state, duration: 0.5 },
            ...(state === 'FAILED' && { cause: 'ValueError' })
          }
        }
      },
      output
    ];
    const outputs = Array.from({ length: 12 }, (_, i) =>
      i < 5
        ? task(i, 'FAILED', { ...ERROR, evalue: `bad ${i}` })
        : task(i, 'SUCCEEDED', text(`first\nlast ${i}`))
    ).flat();
    await show(example({ outputs }));
    const rows = () =>
      [...display.node.querySelectorAll<HTMLElement>('.jp-desipipe-fold')]
        .filter(row => !row.closest('.lm-mod-hidden'))
        .map(row => row.textContent!.trim());
    const shown = () =>
      texts('.jp-OutputArea:not(.lm-mod-hidden) .jp-OutputArea-output');
    expect(rows().slice(0, 2)).toEqual([
      '✕ ValueError × 5',
      '✓ f[5] i=5 0.5 s last 5'
    ]);
    expect([rows().length, shown().length]).toEqual([8, 0]);
    const click = (at: number) =>
      [...display.node.querySelectorAll<HTMLElement>('.jp-desipipe-fold')]
        .filter(row => !row.closest('.lm-mod-hidden'))
        [at].click();
    click(0);
    expect(rows()[1]).toBe('✕ f[0] i=0 0.5 s ValueError: bad 0');
    click(6);
    await until(() => shown().length === 1, 'its outputs are shown');
    expect(shown()[0]).toBe('first\nlast 5');
    // What is open stays open when there is news.
    await show(example({ outputs: outputs.slice(2), time: Date.now() }));
    expect(rows()[0]).toBe('✕ ValueError × 4');
    expect(shown().length).toBe(1);
  });

  it('shows the first rows of a long sweep, and the others when asked', async () => {
    const outputs = Array.from({ length: 60 }, (_, i) => [
      {
        ...label(`${i}`),
        metadata: {
          desipipe: {
            tid: `${i}`,
            label: `f[${i}]`,
            state: 'SUCCEEDED',
            arguments: 'x'
          }
        }
      },
      text(`last ${i}`)
    ]).flat();
    await show(example({ outputs }));
    const rows = () =>
      [...display.node.querySelectorAll<HTMLElement>('.jp-desipipe-fold')]
        .filter(row => !row.closest('.lm-mod-hidden'))
        .map(row => row.textContent!.trim());
    expect(rows().length).toBe(41);
    expect(rows().slice(39)).toEqual(['✓ f[39] x last 39', '… 20 more tasks']);
    display.node.querySelector<HTMLElement>('.jp-desipipe-cause')!.click();
    expect(rows().length).toBe(61);
    expect(rows()[60]).toBe('✓ f[59] x last 59');
  });

  it('renders only what is new: tasks end in any order', async () => {
    const one = [label('a'), text('one')];
    const two = [label('b'), text('two')];
    await show(example({ time: 1, outputs: two }));
    const nodes = () => [
      ...display.node.querySelectorAll('.jp-OutputArea-child')
    ];
    const [before] = nodes();
    await show(example({ time: 2, outputs: [...one, ...two] }));
    expect(texts('.jp-OutputArea-output')).toEqual(['one', 'two']);
    expect(texts('.jp-desipipe-label')).toEqual(['f[a] size=3', 'f[b] size=3']);
    expect(nodes()[1]).toBe(before);
    await show(example({ time: 3, outputs: [...one, ...two, HTML] }));
    expect(nodes()[1]).toBe(before);
    expect(texts('.jp-OutputArea-output')).toEqual(['one', 'two', 'rich']);
    await show(example({ time: 4, outputs: [...two, HTML] }));
    expect(nodes()[0]).toBe(before);
    expect(texts('.jp-OutputArea-output')).toEqual(['two', 'rich']);
  });

  it('shows outputs that grow, shrink and follow each other', async () => {
    const steps = [
      [text('1')],
      [text('1\n2')],
      [text('1\n2'), text('3')],
      [text('1\n2'), text('4'), HTML],
      [HTML],
      []
    ];
    const seen = [];
    for (const [i, outputs] of steps.entries()) {
      await show(example({ time: i + 1, outputs }));
      seen.push(texts('.jp-OutputArea-output').join('|'));
    }
    expect(seen).toEqual(['1', '1\n2', '1\n2\n3', '1\n2\n4|rich', 'rich', '']);
  });

  it('asks the server while it can be seen', async () => {
    server.cell = example({ time: Date.now() / 1000 + 5, left: 2 });
    await show(example());
    expect(server.asked).toEqual([]);
    Observer.all[0].see(true);
    await until(() => server.streams.length === 1, 'it is followed');
    expect(display.model.summary?.left).toBe(2);
    Observer.all[0].see(false);
    await until(() => server.stream.aborted, 'it is not followed any more');
  });

  it('lets go of the server when it goes', async () => {
    server.cell = example();
    await show(example());
    Observer.all[0].see(true);
    await until(() => server.streams.length === 1, 'it is followed');
    display.dispose();
    await until(() => server.stream.aborted, 'it is not followed any more');
  });

  it('asks before it cancels, and not before it retries', async () => {
    await show(example());
    const click = (name: string) =>
      display.node
        .querySelector<HTMLElement>(`button[aria-label="${name}"]`)!
        .click();
    click('Retry');
    await until(() => server.bodies.length === 1, 'it is retried');
    expect(server.bodies[0]).toMatchObject({ rows: '0-19', spawn: true });
    await until(() => display.model.acting === null, 'that is over');
    await settle();
    for (const answer of ['reject', 'accept']) {
      click('Cancel');
      await until(() => !!document.querySelector('.jp-Dialog'), 'it asks');
      const dialog = document.querySelector('.jp-Dialog')!;
      expect(dialog.textContent).toContain('6 tasks of fraction');
      expect(dialog.textContent).toContain('4 tasks are running');
      dialog.querySelector<HTMLElement>(`button.jp-mod-${answer}`)!.click();
      await until(() => !document.querySelector('.jp-Dialog'), 'it is gone');
    }
    await until(() => server.bodies.length === 2, 'it is cancelled');
    await settle();
    expect(server.count('actions/cancel')).toBe(1);
  });

  it('refuses what another version made', async () => {
    await expect(
      display.renderModel(bundle(example({ version: 2 })))
    ).rejects.toThrow('another version of desipipe');
  });
});
