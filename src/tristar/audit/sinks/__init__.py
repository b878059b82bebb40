"""Push sinks: the log handed on to other systems while it grows, at least once and in order.

The log on disk is the spool. Each sink has a thread (`pump`) that reads durable records behind its cursor,
has a receiver acknowledge them, and only then moves the cursor on, durably.
"""
