import { readdirSync, readFileSync } from 'fs';
import { join, relative, resolve } from 'path';

const SOURCE = resolve(__dirname, '..');
const LAYERS = [
  'generated/',
  'tokens',
  'format',
  'request',
  'model',
  'components/',
  'renderer',
  'panel/',
  'page/',
  'record',
  'cells/',
  'index'
];

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry =>
    entry.isDirectory()
      ? entry.name === '__tests__'
        ? []
        : files(join(folder, entry.name))
      : [join(folder, entry.name)]
  );
}

function layer(path: string): number {
  const name = relative(SOURCE, path).replace(/\.tsx?$/, '');
  return LAYERS.findIndex(known =>
    known.endsWith('/') ? name.startsWith(known) : name === known
  );
}

describe('layers', () => {
  it.each(files(SOURCE).map(path => [relative(SOURCE, path), path]))(
    '%s imports only from layers below',
    (_, path) => {
      expect(layer(path)).toBeGreaterThanOrEqual(0);
      const text = readFileSync(path, 'utf-8');
      for (const [, name] of text.matchAll(/from '(\.[^']*)'/g)) {
        const below = layer(resolve(path, '..', name));
        expect(below).toBeGreaterThanOrEqual(0);
        // Files of a folder may know each other.
        const most = layer(path) - (LAYERS[layer(path)].endsWith('/') ? 0 : 1);
        expect(below).toBeLessThanOrEqual(most);
      }
    }
  );

  it('lets only the requests talk to the server', () => {
    const talkers = files(SOURCE).filter(path =>
      /\bServerConnection\.make|(?<!states\?\.|async )\bfetch\(|EventSource\(|XMLHttpRequest/.test(
        readFileSync(path, 'utf-8')
      )
    );
    expect(talkers.map(path => relative(SOURCE, path))).toEqual(['request.ts']);
  });
});
