"""What the operator costs, and how late it decides, with ten to a thousand integrations on one broker."""
