const Environment = require('@jupyterlab/testing/lib/jest-env').default;

// Node's fetch, which the tests answer in place of a server, takes Node's own signals and streams only; jsdom has others, or none.
module.exports = class extends Environment {
  constructor(...args) {
    super(...args);
    Object.assign(this.global, {
      AbortController,
      AbortSignal,
      ReadableStream,
      structuredClone
    });
  }
};
