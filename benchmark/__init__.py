"""The benchmark, in rooms: protocols, datasets, training, scoring, runs, sweep, api, cli.

Each room imports only rooms that stand before it in this list, and all of them import metrics, models and
leaderboards. What two rooms need stands in the lower one.
"""
