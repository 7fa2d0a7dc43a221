"""Helpers of the integration tests: namespaces, TCP scenes, the exporter, Prometheus, oracles."""
