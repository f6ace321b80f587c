// Runs a script with another version of CPython: node other_python.mjs PACKAGE SCRIPT FOLDER...
// The folders are seen where they are; the first is where it runs. There are no other processes there, and no threads.
import { pathToFileURL } from 'node:url';

const [, , home, script, ...folders] = process.argv;
const { loadPyodide } = await import(pathToFileURL(`${home}/pyodide.mjs`));
const python = await loadPyodide();
for (const folder of folders) {
  python.FS.mkdirTree(folder);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, folder);
}
python.globals.set('folders', python.toPy(folders));
python.globals.set('script', script);
try {
  python.runPython(`
import os, runpy, site, sys

# The standard library is in an archive, and nobody has a home.
site.getsitepackages = lambda: ['/lib/python%d%d.zip' % sys.version_info[:2], *folders[1:]]
site.getusersitepackages = lambda: '/nobody'
sys.dont_write_bytecode = True
sys.path[:0] = folders
sys.argv = [script]
os.chdir(folders[0])
runpy.run_path(script, run_name='__main__')
`);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
