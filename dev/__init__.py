"""Tools for developing crm-operator: nothing in here is shipped to users."""
