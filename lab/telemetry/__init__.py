"""OpenTelemetry's collector as a site runs it, and the gateway that it sends to."""
