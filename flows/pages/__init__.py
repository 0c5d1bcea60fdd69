"""Documents for people: Markdown, and HTML pages with pictures."""
