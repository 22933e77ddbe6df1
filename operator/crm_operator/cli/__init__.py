"""`kubectl crm`: what an integration is doing and why, and the verbs that a person needs at 3 a.m.

`access` finds the cluster, `view` turns a status into text, `verbs` asks for things, `main` is the command line. It
reads the resource's status only and works without the operator; what it asks for is an annotation or a SyncPause,
which `kubectl` alone could write as well.
"""
