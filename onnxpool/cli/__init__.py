"""The command line: arguments come in, tables or JSON and an exit status go out.

A command reads its arguments (options), calls the function of the Python interface that has its
name, and shows what comes back (display, terminal); several models run in processes of their own
(batch). The `onnxpool` command runs `app.main`; no other room calls this one.
"""
