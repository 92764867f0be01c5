"""A k3s-shaped Kubernetes of upstream modules: how it is built and served."""
