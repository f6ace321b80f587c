import { ServerConnection } from '@jupyterlab/services';

import { recordPath, writeRecord } from '../record';
import { Api } from '../request';

function api(answer: (url: URL) => Response): Api {
  return new Api(
    ServerConnection.makeSettings({
      baseUrl: 'http://localhost/prefix/',
      fetch: request =>
        Promise.resolve(answer(new URL((request as Request).url)))
    })
  );
}

describe('record', () => {
  it.each([
    ['a.ipynb', 'a.record.ipynb'],
    ['my study/b c.ipynb', 'my study/b c.record.ipynb'],
    ['RTC:x/a.b.ipynb', 'RTC:x/a.b.record.ipynb']
  ])('of %s is %s', (path, expected) => {
    expect(recordPath(path)).toBe(expected);
  });

  it.each([
    [true, false, 1],
    [true, true, 0],
    [false, false, 0]
  ])(
    'saves what was changed first, and writes the very bytes (changed %s, read-only %s)',
    async (dirty, readOnly, saves) => {
      const done: unknown[] = [];
      const path = await writeRecord(
        {
          path: 'drive:s 1/a.ipynb',
          localPath: 's 1/a.ipynb',
          model: { dirty, readOnly } as never,
          save: async () => {
            done.push('saved');
          }
        },
        api(url => {
          done.push(url.pathname);
          return new Response('{"as": "it is"}\n');
        }),
        {
          save: async (...words: unknown[]) => {
            done.push(words);
            return {} as never;
          }
        }
      );
      expect(path).toBe('drive:s 1/a.record.ipynb');
      expect(done).toEqual([
        ...Array(saves).fill('saved'),
        '/prefix/nbconvert/desipipe_record/s%201/a.ipynb',
        [
          'drive:s 1/a.record.ipynb',
          { type: 'file', format: 'text', content: '{"as": "it is"}\n' }
        ]
      ]);
    }
  );

  it('says what nbconvert said, and writes nothing', async () => {
    const page =
      '<html><pre class="traceback">nbconvert failed: a.ipynb shows no task of &#39;desipipe&#39;\n</pre></html>';
    const save = jest.fn();
    await expect(
      writeRecord(
        {
          path: 'a.ipynb',
          localPath: 'a.ipynb',
          model: {} as never,
          save: async () => undefined
        },
        api(() => new Response(page, { status: 500 })),
        { save }
      )
    ).rejects.toThrow("a.ipynb shows no task of 'desipipe'");
    expect(save).not.toHaveBeenCalled();
  });
});
