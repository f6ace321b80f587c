"""Measurements on a Slurm of their own, which they start on this machine: Linux, root, and
Debian's packages of Slurm.
"""
