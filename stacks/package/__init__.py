"""The Pulumi package `edge`: `EdgeSite` as a component for programs in YAML and every other language."""
