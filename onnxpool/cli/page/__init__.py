"""A page about one rewrite, in one file: what was found and done, and how it can be told.

    facts       what the page tells, from the two models
    page        the page: its sections, as HTML
    drawing     a piece of a graph as SVG; grandalf lays it out
    markup      elements, in which all text is escaped
    style.css   light and dark, narrow and wide

It needs no network and holds no program.
"""
