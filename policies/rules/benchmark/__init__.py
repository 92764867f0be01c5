"""The CIS benchmark's profile for K3s: what it asks, as data, and what a node of K3s is seen to have. Pure.

The rules of the group ``host`` judge what a site publishes with it, `edge audit` shows the whole of it, and with
`--live` compares it with hosts. Numbers are those of the profile; titles and remedies are in our own words.
"""
