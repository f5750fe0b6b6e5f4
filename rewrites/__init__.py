"""The passes: lift exporter forms into the dialect, lower the dialect to standard ops."""
