"""One TOML file per data set; read by `disbench.benchmark.datasets.manifest`."""
