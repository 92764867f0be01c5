"""NVIDIA Triton with a model for the lab's sites: its image, its model, what a site file says, and a client."""
