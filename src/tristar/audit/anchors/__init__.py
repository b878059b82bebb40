"""Anchors: the log's signed checkpoints, put where this machine cannot take them back.

By itself the log proves that nobody without the key touched it. That it is not an older copy, put back
whole, or written anew by a holder of the key, shows only against a checkpoint that was out of reach.
"""
