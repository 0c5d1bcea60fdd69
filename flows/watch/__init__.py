"""Watching a flow from outside: metrics, alert rules, dashboards, a live view, a web page."""
