"""A small real Dramatiq application: jobs, the CRM that they write to, the load and the final account.

Used by `demo/`, by the end-to-end tests and by the benchmarks, so nothing here knows of Kubernetes.
"""
