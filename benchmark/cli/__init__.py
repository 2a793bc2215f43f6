"""The command line: every command with its options, and nothing but commands.

May import everything; nothing imports it.
"""
