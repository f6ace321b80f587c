// Merged into the configuration of @jupyter/builder.
module.exports = {
  // The usual numbers are hashes, for some modules of absolute paths: two builds of one commit in two
  // folders would differ.
  optimization: { moduleIds: 'natural' }
};
