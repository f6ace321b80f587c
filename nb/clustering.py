"""
Compute mock catalogues, their power spectra and the covariance of these, as DESI's scripts do.

To run it, here or at NERSC:

    python clustering.py
    PROVIDER=nersc python clustering.py

It is written for the original desipipe, and runs unmodified with this one.
"""

import os

from desipipe import Environment, FileManager, Queue, TaskManager, setup_logging, spawn

setup_logging()

base_dir = os.getenv('OUTDIR', '_clustering')
provider = os.getenv('PROVIDER', 'local')
here = os.path.dirname(os.path.abspath(__file__))

# Which files there are, and where: one document of the data base for each kind.
outdir = dict(OUTDIR=os.path.abspath(base_dir))
fm = FileManager(os.path.join(here, 'clustering.yaml'), environ=outdir)

queue = Queue('clustering', base_dir=base_dir)
environ = Environment(dict(OMP_NUM_THREADS='1'))

# Catalogues and covariances need processors, spectra GPUs: two task managers, with own jobs.
if provider == 'local':
    cpu, gpu = dict(provider='local'), dict(provider='local')
else:
    # tail -f _clustering/slurm/slurm-*.out
    logs = os.path.join(os.path.abspath(base_dir), 'slurm')
    os.makedirs(logs, exist_ok=True)
    cpu = dict(
        provider=provider,
        time='00:10:00',
        nodes_per_worker=0.25,
        output=os.path.join(logs, 'slurm-%j.out'),
        error=os.path.join(logs, 'slurm-%j.err'),
    )
    gpu = dict(cpu, constraint='gpu')

tm = TaskManager(queue, environ=environ, scheduler=dict(max_workers=2), provider=cpu)
tm_gpu = tm.clone(scheduler=dict(max_workers=2), provider=gpu)


@tm.python_app
def make_catalog(output, seed=42, nbar=300, bias=1.0, boxsize=100.0):
    """Draw galaxies around random centers: the closer to these, the stronger they cluster."""
    import numpy as np

    rng = np.random.RandomState(seed=seed)
    centers = rng.uniform(0.0, boxsize, size=(nbar // 10, 3))
    distances = rng.normal(0.0, boxsize / 20.0 / bias, size=(nbar, 3))
    positions = centers[rng.randint(len(centers), size=nbar)] + distances
    output.save(lambda path: np.save(path, positions % boxsize))
    print(f'{nbar} galaxies in {output.filepath}')
    return nbar


@tm_gpu.python_app
def compute_power(catalog, output, ngalaxies, nmesh=16, boxsize=100.0, nbins=5):
    """Average the Fourier modes of the density of a catalogue in shells, without shot noise."""
    import numpy as np

    positions = catalog.load(np.load)
    assert len(positions) == ngalaxies
    mesh = np.histogramdd(positions, bins=nmesh, range=[(0.0, boxsize)] * 3)[0]
    delta = np.fft.rfftn(mesh / mesh.mean() - 1.0) / nmesh**3
    frequencies = [np.fft.fftfreq(nmesh), np.fft.fftfreq(nmesh), np.fft.rfftfreq(nmesh)]
    axes = np.meshgrid(*frequencies, indexing='ij')
    k = 2.0 * np.pi / boxsize * nmesh * np.sqrt(sum(axis**2 for axis in axes))
    edges = np.linspace(0.0, np.pi * nmesh / boxsize, nbins + 1)
    modes = np.histogram(k, bins=edges)[0]
    total = np.histogram(k, bins=edges, weights=np.abs(delta) ** 2 * boxsize**3)[0]
    power = total / modes - boxsize**3 / ngalaxies
    centers = (edges[1:] + edges[:-1]) / 2.0
    output.save(lambda path: np.save(path, np.column_stack([centers, power])))
    print(f'power spectrum of {ngalaxies} galaxies in {output.filepath}')
    return power


@tm.python_app
def compute_covariance(powers, output):
    """Compute the covariance matrix of power spectra."""
    import numpy as np

    covariance = np.cov(np.array(powers), rowvar=False, ddof=1)
    lines = [' '.join(f'{value:.8e}' for value in row) for row in covariance]
    output.save('\n'.join(lines) + '\n')
    return covariance


@tm.bash_app
def report(tracer, covariance):
    """Print the trace of a covariance matrix."""
    words = f'covariance of {len(covariance):d} bins, trace {covariance.trace():.6e}'
    return ['echo', '-n', f'{tracer}: {words}']


def main():
    """Add all tasks; return the futures of the covariances and of the reports, by tracer."""
    covariances, reports = {}, {}
    for itracer, tracer in enumerate(['LRG', 'ELG']):
        powers = []
        catalogs = fm.select(id='catalog', tracer=tracer)
        for catalog in catalogs:
            imock = catalog.options['imock']
            nbar, bias = 300 + 100 * itracer, 1.5 - 0.5 * itracer
            size = make_catalog(catalog, seed=100 * itracer + imock, nbar=nbar, bias=bias)
            power = fm.select(id='power').get(tracer=tracer, imock=imock)
            powers.append(compute_power(catalog, power, size))
        covariances[tracer] = compute_covariance(powers, fm.get(id='covariance', tracer=tracer))
        reports[tracer] = report(tracer, covariances[tracer])
    return covariances, reports


if __name__ == '__main__':
    covariances, reports = main()
    spawn(queue, timestep=0.5)
    for tracer in reports:
        print(reports[tracer].out())
    print(queue.summary(return_type='str'))
    print(f'all files exist: {not fm.exists()[False]}')
