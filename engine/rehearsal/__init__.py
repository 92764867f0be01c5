"""Rehearsal: the providers of a site, played for the real Pulumi engine on one machine.

It checks what a program asks for against the SDKs' own types and the Kubernetes API's, decides as the real providers do
what would be changed or replaced, keeps secrets secret, and returns the same outputs for the same inputs. It connects
to nothing and changes nothing. ``README.md`` beside this file says what it cannot show.

``serving.RehearsalServer`` attaches to the engine; ``in_process.record`` runs a program without one. Both ask ``core``.
"""
