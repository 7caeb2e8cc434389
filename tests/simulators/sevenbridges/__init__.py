"""A stateful stand-in for the Seven Bridges API, over HTTPS on loopback.

It answers as the service is documented to answer; where the documentation is silent, a switch of `Platform`
lets it answer either way.
"""
