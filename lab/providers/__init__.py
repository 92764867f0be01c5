"""The `command` and `kubernetes` providers with effect, for machines without the official plugins. Tests only.

They check and compare by the rules of `engine.rehearsal.core`, as a rehearsal does; what they add is that something
happens: SSH (`command`), server-side apply (`kubernetes`). ``serving.LabProviders`` attaches them to the engine.
"""
