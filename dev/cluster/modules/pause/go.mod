module localhost/crm-dev/pause

go 1.26.0
