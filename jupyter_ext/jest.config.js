const jestJupyterLab = require('@jupyterlab/testutils/lib/jest-config');

// Packages that are published as ES modules, which jest must translate.
const esModules = [
  '@codemirror',
  '@marijn',
  '@microsoft',
  '@jupyter/react-components',
  '@jupyter/web-components',
  '@jupyter/ydoc',
  '@jupyterlab/',
  '@rjsf',
  'color',
  'd3-',
  'exenv-es6',
  'internmap',
  'lib0',
  'lodash-es',
  'marked',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

const base = jestJupyterLab(__dirname);

module.exports = {
  ...base,
  automock: false,
  collectCoverageFrom: ['src/**/*.{ts,tsx}'],
  coverageReporters: ['text'],
  modulePathIgnorePatterns: ['<rootDir>/labextension', '<rootDir>/lib'],
  reporters: ['default'],
  testEnvironment: '<rootDir>/jest-environment.js',
  testRegex: 'src/.*\\.spec\\.tsx?$',
  transform: {
    ...base.transform,
    '^.+\\.mjs$': 'babel-jest',
    '^.+\\.tsx?$': [
      'ts-jest/legacy',
      { isolatedModules: true, tsconfig: '<rootDir>/tsconfig.test.json' }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!${esModules}).+`]
};
