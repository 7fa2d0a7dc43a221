"""What the integration tests stand on: namespaces, TCP scenes, the exporter, Prometheus, oracles."""
