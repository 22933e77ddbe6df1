"""Where facts come from: queues and metrics. Reads only; every failed read is an Unknown with a reason."""
