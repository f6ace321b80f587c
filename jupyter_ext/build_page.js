// Bundles the page of `desipipe serve`, with all of JupyterLab that it needs, into the Python package: node build_page.js [--development]
const path = require('path');
const { rspack } = require('@rspack/core');

const base = require('@jupyter/builder/lib/webpack.config.base');
const shared = require('./rspack.config.js');

const development = process.argv.includes('--development');

rspack(
  {
    ...base,
    context: path.resolve(__dirname, '..'),
    mode: development ? 'development' : 'production',
    devtool: development ? 'source-map' : false,
    entry: { page: path.resolve(__dirname, 'lib/page/index.js') },
    output: {
      ...base.output,
      path: path.resolve(__dirname, '../desipipe/server/page'),
      filename: '[name].js',
      chunkFilename: 'page.[id].js',
      publicPath: 'auto',
      clean: true
    },
    // As in the extension: two builds of one commit are the same.
    optimization: { ...shared.optimization, chunkIds: 'natural' },
    performance: { hints: false },
    plugins: [
      ...base.plugins,
      new rspack.CopyRspackPlugin({
        patterns: [
          { from: path.resolve(__dirname, 'page.html'), to: 'index.html' }
        ]
      })
    ]
  },
  (error, stats) => {
    const failed =
      error ?? (stats.hasErrors() && stats.toString('errors-only'));
    console.log(failed || stats.toString({ preset: 'summary' }));
    process.exitCode = failed ? 1 : 0;
  }
);
