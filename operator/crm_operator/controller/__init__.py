"""The loop: watch, queue, observe, decide, apply. All access to Kubernetes is here."""
