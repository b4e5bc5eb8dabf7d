"""Norn's benchmarks, one file a question; questions.py lists them.

Nothing is imported here: peers run in an environment that lacks what the benchmarks need.
"""
