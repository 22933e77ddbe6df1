"""crm-operator: reconciles CrmIntegration and SyncPause. docs/architecture.md shows how the parts fit together."""
