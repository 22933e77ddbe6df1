"""Pure decisions: World in, Plan out. Knows no cluster, no network and no clock; import-linter keeps it so."""
