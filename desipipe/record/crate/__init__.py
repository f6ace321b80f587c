"""The record as a Workflow Run RO-Crate, of its Provenance profile.

The notebook is the workflow, apps are its tools, tasks are actions.
"""
